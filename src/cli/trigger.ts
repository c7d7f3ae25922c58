/**
 * `trigger`: the statement that makes a table emit its changes.
 */
import { quoteIdentifier } from "../bus/listener.ts";
import { utf8Length } from "../wire/utf8.ts";
import { echo, type Given, UsageError } from "./arguments.ts";
import { type Command, namespaceOf } from "./command.ts";

const HELP = `Prints the CREATE TRIGGER that emits the changes of a table. Nothing is executed.

  socketio-pg trigger TABLE [OPERATION …] --columns LIST (--room ROOM … | --everyone) [options]

Examples:
  socketio-pg trigger orders --columns id,status --room 'customer:{customer_id}'
  socketio-pg trigger orders --columns id,status --room 'customer:{customer_id}' | psql
  socketio-pg trigger orders insert update --columns id,status --old changed --room staff
  socketio-pg trigger orders insert --statement --columns id --event orders:new --room staff
  socketio-pg trigger shop.Order delete --columns '*' --everyone

TABLE is the name as it is, after that of the schema and a dot where there is one; it is
quoted, so that upper case stays. A name with a dot in it stands in double quotes.
OPERATION is insert, update, delete or truncate; the first three by default.
Clients get {op, schema, table, row} and with --old also {old}.
The database needs the functions: "socketio-pg install-sql".

Options:
  --event EVENT       "{table}:{op}" by default; {op}, {schema}, {table} and the names of
                      columns in braces are filled in, and {{ is a brace
  --room ROOM         who gets it, with the same braces; may be repeated
  --everyone          all clients of the namespace get it
  --columns LIST      what clients see, separated by commas, or "*"; may be repeated
  --old WHICH         what an update says of the row before: none, changed or all
  --on-large HOW      a change that is too large: key, error or skip
  --max-bytes NUMBER  how large it may be: 33554432 by default and at most
  --statement         one event for all rows of a statement, and of the same rooms
  --nsp NAMESPACE     "/" by default
  --recovery          clients that are away get it when they come back
  --name NAME         of the trigger; "socketio_TABLE" by default
  -h, --help          this text
`;

/** What happens to rows. */
type Operation = "insert" | "update" | "delete" | "truncate";

const OPERATIONS: readonly Operation[] = ["insert", "update", "delete", "truncate"];

/** The rows that a trigger for a statement has to name. */
const TRANSITION: Readonly<Record<Operation, string>> = {
  insert: "\nreferencing new table as new_rows",
  update: "\nreferencing old table as old_rows new table as new_rows",
  delete: "\nreferencing old table as old_rows",
  truncate: "",
};

/** NAMEDATALEN - 1: PostgreSQL cuts longer names. */
const MAX_NAME_BYTES = 63;

/** What `emit_changes()` takes as "max_bytes". */
const MAX_CHANGE_BYTES = 33_554_432;

/** Prints the statement that creates a trigger. */
export const trigger: Command = {
  name: "trigger",
  summary: "print the CREATE TRIGGER that emits the changes of a table",
  help: HELP,
  options: {
    event: { type: "string" },
    room: { type: "string" },
    everyone: { type: "boolean" },
    columns: { type: "string" },
    old: { type: "string" },
    "on-large": { type: "string" },
    "max-bytes": { type: "string" },
    statement: { type: "boolean" },
    nsp: { type: "string" },
    recovery: { type: "boolean" },
    name: { type: "string" },
  },
  run(given, io) {
    io.out.write(triggerText(given));
    return Promise.resolve();
  },
};

function triggerText(given: Given): string {
  const [typed, ...words] = given.positionals;
  if (typed === undefined) throw new UsageError("Cannot print a trigger without a table");
  const table = tableOf(typed);
  const operations = operationsOf(words);
  const isForStatement = given.has("statement");
  if (!isForStatement && operations.includes("truncate")) {
    throw new UsageError(
      "Cannot print a trigger for each row of truncate as that has no rows: add --statement",
    );
  }
  const call = `socketio.emit_changes(\n  ${
    [
      given.value("event") ?? "{table}:{op}",
      roomsOf(given),
      JSON.stringify(optionsOf(given)),
    ].map(quoteLiteral).join(",\n  ")
  }\n)`;
  const name = given.value("name") ?? `socketio_${table.at(-1)}`;
  if (name === "") throw new UsageError("Cannot take an empty --name: a trigger has one");
  const on = table.map(quoteIdentifier).join(".");
  const text = (suffix: string, events: readonly Operation[], rows: string, each: string) =>
    `create trigger ${quoteIdentifier(fitted(name, suffix))}\nafter ${
      events.join(" or ")
    } on ${on}${rows}\nfor each ${each} execute function ${call};\n`;
  if (!isForStatement) return text("", operations, "", "row");
  // Those with transition tables are for one operation each.
  return operations.map((operation) =>
    text(
      operations.length === 1 ? "" : `_${operation}`,
      [operation],
      TRANSITION[operation],
      "statement",
    )
  ).join("\n");
}

/** The names that make a table: as they are, or in double quotes as in SQL. */
function tableOf(typed: string): string[] {
  const names: string[] = [];
  let end = 0;
  for (const match of typed.matchAll(/(?:^|(?<=.)\.)(?:"((?:[^"]|"")+)"|([^".]+))/gy)) {
    names.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    end = match.index + match[0].length;
  }
  if (names.length >= 1 && names.length <= 2 && end === typed.length) return names;
  throw new UsageError(
    `Cannot take "${
      echo(typed)
    }" as a table: it is table or schema.table, in double quotes where a name has a dot or a quote`,
  );
}

function operationsOf(words: readonly string[]): readonly Operation[] {
  const given = words.flatMap((word) => word.toLowerCase().split(",")).filter((word) =>
    word !== ""
  );
  const strange = given.find((word) => !OPERATIONS.some((operation) => operation === word));
  if (strange !== undefined) {
    throw new UsageError(
      `Cannot take "${echo(strange)}" as an operation: it is one of ${OPERATIONS.join(", ")}`,
    );
  }
  return given.length === 0
    ? ["insert", "update", "delete"]
    : OPERATIONS.filter((operation) => given.includes(operation));
}

/** Rows that everybody gets are asked for by name, as are columns. */
function roomsOf(given: Given): string {
  const rooms = given.values("room");
  const isForEveryone = given.has("everyone");
  if (isForEveryone !== (rooms.length === 0)) {
    throw new UsageError("Cannot tell who gets the changes: give either --room or --everyone");
  }
  if (rooms.includes("")) throw new UsageError("Cannot take an empty --room: there is --everyone");
  const [only = ""] = rooms;
  return rooms.length > 1 || only.startsWith("[") ? JSON.stringify(rooms) : only;
}

function optionsOf(given: Given): Record<string, unknown> {
  const columns = given.values("columns").flatMap((list) => list.split(","))
    .map((name) => name.trim()).filter((name) => name !== "");
  if (columns.length === 0) {
    throw new UsageError(
      "Cannot print a trigger without --columns: clients see what is listed, or all with --columns '*'",
    );
  }
  if (columns.includes("*") && columns.length > 1) {
    throw new UsageError("Cannot take --columns as both a list and all of them");
  }
  const options: Record<string, unknown> = { columns: columns[0] === "*" ? "*" : columns };
  const old = given.choice("old", ["none", "changed", "all"]);
  const onLarge = given.choice("on-large", ["key", "error", "skip"]);
  const maxBytes = given.number("max-bytes", true);
  if (maxBytes !== undefined && maxBytes > MAX_CHANGE_BYTES) {
    throw new UsageError(
      `Cannot take "${maxBytes}" as --max-bytes: at most ${MAX_CHANGE_BYTES} are allowed`,
    );
  }
  const nsp = given.value("nsp");
  if (old !== undefined) options.old = old;
  if (onLarge !== undefined) options.on_large = onLarge;
  if (maxBytes !== undefined) options.max_bytes = maxBytes;
  if (nsp !== undefined) options.nsp = namespaceOf(nsp);
  if (given.has("recovery")) options.flags = { recovery: true };
  return options;
}

/** A literal as `quote_literal()` makes it: right whatever `standard_conforming_strings` is. */
function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes("\\") ? `E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}

/** A name that PostgreSQL does not cut, with the whole suffix. */
function fitted(name: string, suffix: string): string {
  const characters = [...name];
  while (utf8Length(characters.join("") + suffix) > MAX_NAME_BYTES) characters.pop();
  return characters.join("") + suffix;
}
