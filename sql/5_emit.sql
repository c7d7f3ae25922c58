-- Emits an event to clients. args: an array is the list of arguments, anything else is one argument.
create or replace function socketio.emit(
  event text,
  args jsonb default '[]',
  rooms text[] default '{}',
  except_rooms text[] default '{}',
  nsp text default '/',
  flags jsonb default '{}'
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform socketio._send(
    3,
    'emit',
    socketio._event(event, args, '{connect,connect_error,disconnect,disconnecting,newListener,removeListener}'),
    rooms, except_rooms, nsp, flags);
end
$$;

-- The same, with a warning in place of an error; returns whether it was sent.
create or replace function socketio.try_emit(
  event text,
  args jsonb default '[]',
  rooms text[] default '{}',
  except_rooms text[] default '{}',
  nsp text default '/',
  flags jsonb default '{}'
) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  state text;
  why text;
  more text;
  advice text;
begin
  perform socketio.emit(event, args, rooms, except_rooms, nsp, flags);
  return true;
exception when others then
  get stacked diagnostics state = returned_sqlstate, why = message_text, more = pg_exception_detail,
    advice = pg_exception_hint;
  raise warning using errcode = state, message = why, detail = more, hint = advice;
  return false;
end
$$;

-- Makes sockets join rooms: those in some rooms, or all of a namespace.
create or replace function socketio.sockets_join(
  rooms text[],
  in_rooms text[] default '{}',
  except_rooms text[] default '{}',
  nsp text default '/'
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  names text := socketio._rooms(rooms, 'rooms');
begin
  if names = '' then return; end if;
  perform socketio._send(4, 'socketsJoin', names, in_rooms, except_rooms, nsp, '{}');
end
$$;

-- Makes sockets leave rooms.
create or replace function socketio.sockets_leave(
  rooms text[],
  in_rooms text[] default '{}',
  except_rooms text[] default '{}',
  nsp text default '/'
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  names text := socketio._rooms(rooms, 'rooms');
begin
  if names = '' then return; end if;
  perform socketio._send(5, 'socketsLeave', names, in_rooms, except_rooms, nsp, '{}');
end
$$;

-- Disconnects sockets; close: the connection below, too, with all its namespaces.
create or replace function socketio.disconnect_sockets(
  in_rooms text[] default '{}',
  except_rooms text[] default '{}',
  nsp text default '/',
  close boolean default false
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if close is null then
    raise exception using errcode = 'null_value_not_allowed',
      message = 'Cannot disconnect sockets as close is null';
  end if;
  perform socketio._send(6, 'disconnectSockets', close::text, in_rooms, except_rooms, nsp, '{}');
end
$$;

-- Sends an event to the servers themselves, as io.serverSideEmit() does.
create or replace function socketio.server_side_emit(event text, args jsonb default '[]', nsp text default '/') returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform socketio._send(
    9,
    'serverSideEmit',
    socketio._event(event, args, '{connect,connection,new_namespace,newListener,removeListener}'),
    '{}', '{}', nsp, '{}');
end
$$;
