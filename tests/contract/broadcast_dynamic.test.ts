import { testBroadcast } from "./broadcast_suite.ts";

testBroadcast(" (dynamic)", { adapter: { subscriptionMode: "dynamic" } });
testBroadcast(" (dynamic with static)", {
  adapter: (server) => ({ subscriptionMode: server === 1 ? "static" : "dynamic" }),
});
