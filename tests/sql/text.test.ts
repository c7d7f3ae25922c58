/** The SQL as it is shipped. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { isSqlModuleStale } from "../../scripts/sql_text.ts";
import { SQL_VERSION, sqlText } from "../../src/sql.ts";
import { test } from "../support/test.ts";

/** What each version was when it was published: who has a version has that text. */
const HASHES: Readonly<Record<number, string>> = {
  1: "05f5819795e74d901baf8b3bd2166a28fec2d75a9a5370e9f3d7a8b66a9592c2",
};

test("the module is what scripts/sql_text.ts makes of sql/", () => {
  assert.ok(!isSqlModuleStale(), "run scripts/sql_text.ts");
});

test("a version has one text", () => {
  // Once version 1 is published, a change of the text needs a new version, here, in src/sql.ts and in sql/1_schema.sql.
  assert.equal(createHash("sha256").update(sqlText()).digest("hex"), HASHES[SQL_VERSION]);
  assert.match(sqlText(), new RegExp(`socketio\\.version\\(\\)[^;]+select ${SQL_VERSION} `));
});
