/**
 * `nodes`: the processes of the cluster.
 */
import { deferred } from "../bus/deadline.ts";
import { Presence } from "../bus/presence.ts";
import { messageOf } from "../errors.ts";
import { createUid } from "../wire/frame.ts";
import { census, connectionsOf, isComplete } from "./census.ts";
import {
  type Command,
  CONNECTION_HELP,
  CONNECTION_OPTIONS,
  millisecondsOf,
  prefixOf,
  PROTOCOL_HELP,
  PROTOCOL_OPTIONS,
  secretOf,
} from "./command.ts";
import { settingsOfArgument } from "./database.ts";
import { Listening } from "./listening.ts";
import { nodesAsJson, nodesAsText, remarksOn } from "./nodes_view.ts";
import { RollCall } from "./roll_call.ts";

/** More than the time between two heartbeats, by default. */
const WAIT_SECONDS = 6;

const HELP = `Shows the processes of the cluster: who is there, since when, with which namespaces.

  socketio-pg nodes [URI] [options]

Examples:
  socketio-pg nodes
  socketio-pg nodes --prefix shop
  socketio-pg nodes --json | jq -c 'select(.type == "node") | [.uid, .phase]'

It listens until each process that holds the lock of its prefix was heard, which takes a
heartbeat, and asks each for its namespaces, which members of the cluster do, too. It is no
member: servers do not count it.

PHASE is what others can see of a process:
  ready     it listens, and was heard
  silent    it listens, and was not heard: it is starting, blocked or stopped, or its
            "heartbeatInterval" is longer than --wait
  deaf      it was heard, and does not listen: its listening connection is being replaced
  left      it said goodbye meanwhile
SINCE is since when its listening connection is there. Where the servers have a secret it
is needed to read namespaces. APPLICATION is the "application_name" of its connection
string, if that has one.

Options:
  --wait SECONDS      the longest wait for heartbeats: ${WAIT_SECONDS} by default
  --json              a line of JSON for each process, and a summary at the end
${PROTOCOL_HELP}
${CONNECTION_HELP}
`;

/** Shows who is there. */
export const nodes: Command = {
  name: "nodes",
  summary: "show the processes of the cluster",
  help: HELP,
  options: {
    wait: { type: "string" },
    json: { type: "boolean" },
    ...PROTOCOL_OPTIONS,
    ...CONNECTION_OPTIONS,
  },
  async run(given, io) {
    const settings = settingsOfArgument(given, "nodes");
    const prefix = prefixOf(given);
    const waitMs = millisecondsOf(given, "wait", WAIT_SECONDS);
    const asked: Promise<void>[] = [];
    const call = new RollCall(prefix, secretOf(given, io), (channel, payload) => {
      asked.push(
        listening.publish(channel, payload).catch((fault: unknown) =>
          io.err.write(`Cannot ask a process for its namespaces: ${messageOf(fault)}\n`)
        ),
      );
    });
    const complete = deferred<void>();
    let listeners: Map<number, number> | undefined;
    const look = () => {
      if (listeners !== undefined && isComplete(listeners, call.heard.values())) complete.resolve();
    };
    const listening: Listening = await Listening.open(
      settings,
      "socketio-pg:nodes",
      (channel, payload) => {
        call.receive(channel, payload, performance.now());
        look();
      },
    );
    try {
      await listening.listen(call.channels);
      await listening.roundTrip();
      // Its own lock it never takes.
      const presence = new Presence(prefix, createUid());
      listeners = await presence.sessions(listening.session);
      look();
      const timer = setTimeout(complete.resolve, waitMs);
      await complete.promise;
      clearTimeout(timer);
      await Promise.all(asked);
      const now = await presence.sessions(listening.session);
      const connections = await connectionsOf(listening.session, now.values());
      const all = census(now, connections, call.heard.values(), performance.now());
      io.out.write(given.has("json") ? nodesAsJson(all) : nodesAsText(all));
      for (const remark of remarksOn(all)) io.err.write(`${remark}\n`);
    } finally {
      await listening.close();
    }
  },
};
