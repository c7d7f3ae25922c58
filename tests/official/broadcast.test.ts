import { testBroadcast } from "../contract/broadcast_suite.ts";
import { kindsOf } from "../support/official.ts";

/** Theirs does not keep the order of what is large or binary; that it arrives is tested apart. */
const ORDERED = ["two identical emits", "onAnyOutgoing()"];

testBroadcast(", both wires", kindsOf(["both", "both", "both"]));
testBroadcast(", theirs and both wires", kindsOf(["theirs", "both", "both"]), ORDERED);
testBroadcast(", both wires and theirs", kindsOf(["both", "theirs", "theirs"]), ORDERED);
