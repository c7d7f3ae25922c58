/** The SQL as it is shipped. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { isSqlModuleStale } from "../../scripts/sql_text.ts";
import { SQL_VERSION, sqlText } from "../../src/sql.ts";
import { test } from "../support/test.ts";

/** What each version was when it was published: who has a version has that text. */
const HASHES: Readonly<Record<number, string>> = {
  1: "77d8fa3acc44c5bb7a0c00b380d85889b450ced53c8e6a07781573b8641f5c4f",
};

test("the module is what scripts/sql_text.ts makes of sql/", () => {
  assert.ok(!isSqlModuleStale(), "run scripts/sql_text.ts");
});

test("a version has one text", () => {
  // Once version 1 is published, a change of the text needs a new version, here, in src/sql.ts and in sql/1_schema.sql.
  assert.equal(createHash("sha256").update(sqlText()).digest("hex"), HASHES[SQL_VERSION]);
  assert.match(sqlText(), new RegExp(`socketio\\.version\\(\\)[^;]+select ${SQL_VERSION} `));
});
