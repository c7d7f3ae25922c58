/**
 * The faults that this package is made for, by the numbers that the tests in `tests/faults` give them.
 *
 * @module
 */

/** A row of the table. */
export interface Row {
  readonly row: number;
  readonly fault: string;
  readonly promise: string;
  /** Where it is shown, in the folder `tests`. */
  readonly shownBy?: string;
}

/** All of them. */
export const ROWS: readonly Row[] = [
  {
    row: 1,
    fault: "listening backend terminated, again and again",
    promise: "it listens again at once and gets what it missed",
    shownBy: "faults/connection_lost",
  },
  {
    row: 2,
    fault: "publishing backend terminated, 50 times",
    promise: "what was under way is sent again, and arrives once",
    shownBy: "faults/connection_lost",
  },
  {
    row: 3,
    fault: "all connections reset every 150 ms",
    promise: "nothing is lost, and attempts are few",
    shownBy: "faults/connection_lost",
  },
  {
    row: 4,
    fault: "all connections closed every 150 ms",
    promise: "nothing is lost, and attempts are few",
    shownBy: "faults/connection_lost",
  },
  {
    row: 5,
    fault: "a statement is cut off, or its answer is lost after the commit",
    promise: "it is sent again, and receivers recognise what they have",
    shownBy: "faults/connection_lost",
  },
  {
    row: 6,
    fault: "database away for seconds",
    promise: "what is sent meanwhile is kept, and it is found again within 1.5 s of its return",
    shownBy: "faults/server_restart",
  },
  {
    row: 7,
    fault: "database restarted or crashed, one of its processes killed",
    promise: "everybody is back soon, and nothing is lost",
    shownBy: "faults/server_restart",
  },
  {
    row: 8,
    fault: "the server refuses every start of a session",
    promise: "few attempts, with growing pauses",
    shownBy: "faults/refused_sessions",
  },
  {
    row: 9,
    fault: "connections are closed before they are ready",
    promise: "few attempts, and each ends in time",
    shownBy: "faults/refused_sessions",
  },
  {
    row: 10,
    fault: "cut after any number of bytes of the start of a session",
    promise: "the next attempt follows; nothing is thrown unheard",
    shownBy: "faults/start",
  },
  {
    row: 11,
    fault: "both connections silent both ways",
    promise: "noticed within 8 s, and nothing is lost",
    shownBy: "faults/half_open",
  },
  {
    row: 12,
    fault: "nothing comes on the listening connection",
    promise: "noticed within 8 s, and nothing is lost",
    shownBy: "faults/half_open",
  },
  {
    row: 13,
    fault: "the publishing connection is silent one way",
    promise: "noticed by the time limit of a statement; own clients feel nothing",
    shownBy: "faults/half_open",
  },
  {
    row: 14,
    fault: "close() while connected, half-open, connecting or waiting",
    promise: "it ends in time, the process too, and no session stays",
    shownBy: "faults/process",
  },
  {
    row: 15,
    fault: "event loop blocked",
    promise: "a short pause alarms nobody, a long one costs nothing",
    shownBy: "faults/process",
  },
  {
    row: 16,
    fault: "a listening process is stopped for long, under load",
    promise: "PostgreSQL gives up on it in 15 s, so that it does not block the others",
    shownBy: "faults/notify_queue",
  },
  {
    row: 17,
    fault: "the queue of notifications is full",
    promise: "publishing goes on by itself once there is room",
    shownBy: "faults/notify_queue",
  },
  {
    row: 18,
    fault: "another application holds the lock of NOTIFY",
    promise: "own clients feel nothing; what waits is sent afterwards",
    shownBy: "faults/commit_lock",
  },
  {
    row: 19,
    fault: "failover to a standby",
    promise: "a standby is not listened to; the new primary is found",
    shownBy: "faults/failover",
  },
  {
    row: 20,
    fault: "several hosts, all of which refuse",
    promise: "few attempts, each host in its turn",
    shownBy: "faults/refused_sessions",
  },
  {
    row: 21,
    fault: "a pooler in transaction mode before the listening connection",
    promise: "an error that says so, instead of silence",
    shownBy: "faults/poolers",
  },
  {
    row: 22,
    fault: "a pooler in session mode, or before the publishing connection alone",
    promise: "it works, and the pooler's settings are left alone",
    shownBy: "faults/poolers",
  },
  {
    row: 23,
    fault: "idle connections ended by the server, or forgotten by a router",
    promise: "heartbeats prevent it or show it, and nothing is lost",
    shownBy: "faults/slow_network",
  },
  {
    row: 24,
    fault: "bytes in drips, late and slowly",
    promise: "everything arrives unchanged, without an alarm",
    shownBy: "faults/slow_network",
  },
  {
    row: 25,
    fault: "more is sent than the database takes",
    promise: "memory is bounded, and what is dropped is an error",
    shownBy: "faults/buffer",
  },
  {
    row: 26,
    fault: "a long outage of the database for everybody",
    promise: "what waits is sent when the others are back, in order",
    shownBy: "faults/long_outage",
  },
  {
    row: 27,
    fault: "a process is killed",
    promise: "the others know it within `heartbeatTimeout`, and requests wait no longer",
    shownBy: "faults/process",
  },
  {
    row: 28,
    fault: "a process closes",
    promise: "the others know it at once, and hear nothing of it any more",
    shownBy: "faults/process",
  },
  {
    row: 29,
    fault: "a process starts again on the same host, or was suspended",
    promise: "it has a new identity, or comes back with all that it missed",
    shownBy: "faults/rolling",
  },
  {
    row: 30,
    fault: "a listener is cut again and again while thousands of messages come",
    promise: "all arrive, in order",
    shownBy: "faults/repair",
  },
  {
    row: 31,
    fault: "twenty receivers miss the same",
    promise: "it is repeated once or twice, and not twenty times",
    shownBy: "faults/repair",
  },
  {
    row: 34,
    fault: "anything at all on a channel",
    promise: "counted, told and dropped",
    shownBy: "hostile/live",
  },
  {
    row: 35,
    fault: "forged, changed or repeated frames, where there is a `secret`",
    promise: "dropped",
    shownBy: "faults/sealed",
  },
  {
    row: 36,
    fault: "payloads at the edges of what PostgreSQL takes",
    promise: "exact, and equal ones are not folded",
    shownBy: "hostile/edges",
  },
  {
    row: 37,
    fault: "a wrong certificate, a password that expires",
    promise: "an error with a code, and attempts go on",
    shownBy: "faults/tls",
  },
  {
    row: 38,
    fault: "many namespaces, nothing to say",
    promise: "two sessions and one heartbeat per process",
    shownBy: "contract/connections",
  },
  {
    row: 40,
    fault: "started while the database is away",
    promise: "own clients are served, and the rest is said later",
    shownBy: "faults/start",
  },
  {
    row: 41,
    fault: "rooms come and go, and pass the bound of channels, while everybody talks",
    promise: "who is in a room gets all that is said in it, once and in order",
    shownBy: "faults/rooms",
  },
];
