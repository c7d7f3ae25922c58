-- Orders whose customers see them change. Needs the functions of socketio-pg: docs/sql.md says how to install them.
create table orders (
  id integer generated always as identity primary key,
  customer_id integer not null,
  status text not null default 'open',
  internal_note text
);

-- "order:insert", "order:update" and "order:delete" to the room of the customer, as in
-- {"op":"update","schema":"public","table":"orders","row":{"id":1,"status":"paid"},"old":{"status":"open"}}
create trigger orders_to_customers
after insert or update or delete on orders
for each row execute function socketio.emit_changes(
  'order:{op}',
  'customer:{customer_id}',
  '{"columns":["id","status"],"old":"changed"}'
);

-- To the staff one event for each statement, whatever the number of its rows.
create trigger orders_to_staff
after insert on orders
referencing new table as new_rows
for each statement execute function socketio.emit_changes(
  'orders:new',
  'staff',
  '{"columns":["id","customer_id","status"]}'
);
