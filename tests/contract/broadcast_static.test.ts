import { testBroadcast } from "./broadcast_suite.ts";

testBroadcast(" (static)", { adapter: { subscriptionMode: "static" } });
testBroadcast(" (static with static)", {
  adapter: (server) => ({ subscriptionMode: server === 1 ? "static" : "static" }),
});
