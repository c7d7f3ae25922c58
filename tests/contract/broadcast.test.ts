import { testBroadcast } from "./broadcast_suite.ts";

testBroadcast("");
