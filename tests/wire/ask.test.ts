/** The end of an answer: what is lost, frame by frame as far as a frame has room for it. */
import assert from "node:assert/strict";
import { decodeAskEnd, encodeAskEnd, type Lost, MAX_NAMED_LENGTH } from "../../src/wire/ask.ts";
import { MalformedMessage } from "../../src/wire/message.ts";
import { Random } from "../support/random.ts";
import { test } from "../support/test.ts";

test("what is lost is read as it was written, the oldest together where there is much", () => {
  const random = new Random(1);
  for (let round = 0; round < 500; round++) {
    const lost: Lost[] = [];
    let sequence = random.below(2) * 10 ** random.below(15);
    for (let left = random.below(4_000); left > 0; left--) {
      sequence += 1 + random.below(random.pick([1, 3, 100_000]));
      lost.push({ sequence, messages: 1 + random.below(random.pick([1, 9, 128])) });
    }
    const body = encodeAskEnd({ id: round, lost, ...round % 2 === 0 && { back: round } });
    assert.ok(body.length <= MAX_NAMED_LENGTH + 200, `${body.length} characters`);
    const end = decodeAskEnd(body);
    assert.equal(end.id, round);
    assert.equal(end.back, round % 2 === 0 ? round : undefined);
    const older = lost.slice(0, lost.length - end.lost.length);
    assert.deepEqual(end.lost, lost.slice(older.length));
    assert.ok(older.length === 0 || body.length > MAX_NAMED_LENGTH - 50, `${older.length} older`);
    assert.deepEqual(
      end.older,
      older.length === 0 ? undefined : {
        sequence: older.at(-1)!.sequence,
        messages: older.reduce((sum, { messages }) => sum + messages, 0),
      },
    );
  }
});

test("an end that cannot be read is refused", () => {
  for (
    const body of [
      "",
      "[]",
      "{}",
      '{"i":1}',
      '{"i":1,"l":{}}',
      '{"i":1,"l":[1]}',
      '{"i":1,"l":[1,"1"]}',
      '{"i":1,"l":[1,-1]}',
      '{"i":1,"l":[1.5,1]}',
      '{"i":1,"l":[[1,1]]}',
      '{"i":1,"l":[9007199254740991,1,1,1]}',
      '{"i":1,"o":[1],"l":[]}',
      '{"i":1,"o":7,"l":[]}',
      '{"i":-1,"l":[]}',
      '{"i":1,"l":[],"b":"1"}',
    ]
  ) assert.throws(() => decodeAskEnd(body), MalformedMessage, body);
});
