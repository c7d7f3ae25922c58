import { testBroadcast } from "./broadcast_suite.ts";

const secret = "known to all servers of the cluster";

testBroadcast(" (signed)", { adapter: { secret } });
testBroadcast(" (encrypted)", { adapter: { secret, encrypt: true } });
