-- Nobody but the owner may call them until it is granted by name. Grants to roles stay as they are.
do $$
declare
  own oid;
begin
  for own in
    -- An operator for two types that differ could be somebody else's.
    select oid from pg_catalog.pg_proc
    where pronamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid
      and pg_catalog.pg_has_role(proowner, 'USAGE')
  loop
    execute pg_catalog.format('revoke all on routine %s from public', own::pg_catalog.regprocedure);
  end loop;
end
$$;

comment on schema socketio is 'Functions that emit to the clients of Socket.IO servers';
comment on function socketio.version is 'The version of the functions in this schema';
comment on function socketio.emit is 'Emits an event to Socket.IO clients when the transaction commits';
comment on function socketio.try_emit is 'As emit(), with a warning in place of an error';
comment on function socketio.sockets_join is 'Makes sockets join rooms';
comment on function socketio.sockets_leave is 'Makes sockets leave rooms';
comment on function socketio.disconnect_sockets is 'Disconnects sockets';
comment on function socketio.server_side_emit is 'Sends an event to the Socket.IO servers themselves';
comment on function socketio.emit_changes is 'A trigger that emits what has changed: docs/sql.md';
comment on function socketio.channel is 'The name of the channel of a namespace, or of a room';
comment on function socketio.set_prefix is 'Sets the prefix of all channels, where the setting socketio.prefix does not';
comment on function socketio.set_secret is 'From now on what is sent is signed, with the secret of the servers';
comment on function socketio.set_signing_key is 'As set_secret(), with the key that is derived from it';
