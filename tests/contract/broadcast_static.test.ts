import { testBroadcast } from "./broadcast_suite.ts";

testBroadcast(" (static)", { adapter: { subscriptionMode: "static" } });
testBroadcast(" (dynamic with static)", {
  adapter: (server) => ({ subscriptionMode: server === 1 ? "static" : "dynamic" }),
});
