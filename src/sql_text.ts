/** What `sql/` holds. Made by scripts/sql_text.ts: change the files there, and run it. */
export const SQL_TEXT: string = String.raw`
-- Socket.IO from SQL: functions that emit to the clients of a cluster of socketio-pg.
-- For PostgreSQL 13 and later. It can be run again at any time: grants, prefix and secret stay.
-- No table, no extension; the role that runs it needs CREATE on the database, the first time, and is the only one, but for
-- superusers, who may own the schema and its functions.
do $$
declare
  theirs text;
  others text;
begin
  if pg_catalog.current_setting('server_version_num')::integer < 130000 then
    raise exception using errcode = 'feature_not_supported',
      message = 'Cannot install the functions of socketio-pg as this is no PostgreSQL 13 or later: it is '
        || pg_catalog.current_setting('server_version');
  end if;
  if pg_catalog.getdatabaseencoding() <> 'UTF8' then
    raise exception using errcode = 'feature_not_supported',
      message = 'Cannot install the functions of socketio-pg as the database has another encoding than UTF8: it has '
        || pg_catalog.getdatabaseencoding();
  end if;
  -- Two that replace the same function at once make one of them fail.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('socketio-pg sql', 0));
  -- CREATE SCHEMA IF NOT EXISTS wants the right to create one also where it is there.
  if pg_catalog.to_regnamespace('socketio') is null then
    create schema socketio;
  end if;
  -- Who may create schemas could have made this one, and functions in it that ours would call with their own rights.
  -- Types are compared with the same type: for two that differ somebody may have made an operator in a schema of the path.
  select
      pg_catalog.string_agg(what || ' of ' || owner, ', ' order by n, what),
      pg_catalog.string_agg(distinct owner, ', ')
    into theirs, others
    from (
      select 1 as n, 'schema socketio' as what, nspowner as own from pg_catalog.pg_namespace
        where oid = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid
      union all
      select 2, oid::pg_catalog.regprocedure::text, proowner from pg_catalog.pg_proc
        where pronamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid
      union all
      select 3, 'socketio.secret', relowner from pg_catalog.pg_class
        where relnamespace = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid and relname = 'secret'
    ) as found
    cross join lateral pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(own)) as owner
    where own not in (select oid from pg_catalog.pg_roles where rolsuper or rolname = current_user);
  if theirs is not null then
    raise exception using errcode = 'insufficient_privilege',
      message = 'Cannot install the functions of socketio-pg as schema socketio, or something in it, belongs to others: '
        || others,
      detail = 'Others than ' || pg_catalog.quote_ident(current_user) || ' and superusers own '
        || case when pg_catalog.length(theirs) > 500 then pg_catalog.left(theirs, 500) || ' ...' else theirs end,
      hint = 'If that is right, install as its owner (SET ROLE ' || others
        || '). If you do not know it, drop it: DROP SCHEMA socketio CASCADE.';
  end if;
  select pg_catalog.string_agg(distinct case when grantee = 0::pg_catalog.oid then 'public'
      else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) end, ', ')
    into others
    from pg_catalog.pg_namespace, pg_catalog.aclexplode(nspacl)
    where pg_namespace.oid = 'socketio'::pg_catalog.regnamespace::pg_catalog.oid and privilege_type = 'CREATE'
      and grantee not in (select oid from pg_catalog.pg_roles where rolsuper or rolname = current_user);
  if others is not null then
    raise exception using errcode = 'insufficient_privilege',
      message = 'Cannot install the functions of socketio-pg as others may create functions in schema socketio: ' || others,
      hint = 'REVOKE CREATE ON SCHEMA socketio FROM ' || others;
  end if;
  -- What set_prefix() wrote stays.
  if pg_catalog.to_regprocedure('socketio._default_prefix()') is null then
    create function socketio._default_prefix() returns text
      language sql immutable parallel safe set search_path = pg_catalog, pg_temp
      as $prefix$ select 'socket.io'::text $prefix$;
  end if;
end
$$;

create or replace function socketio.version() returns integer
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 1 $$;

-- The prefix of all channels: that of the session or the database, else that of set_prefix().
create or replace function socketio._prefix() returns text
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  prefix text := coalesce(nullif(current_setting('socketio.prefix', true), ''), socketio._default_prefix());
begin
  if octet_length(prefix) <= 29 then return prefix; end if;
  raise exception using errcode = 'invalid_parameter_value',
    message = format('Cannot name a channel as the prefix has %s bytes', octet_length(prefix)),
    detail = format('The prefix is "%s".', prefix),
    hint = 'It is the setting socketio.prefix, or what socketio.set_prefix() was given, and has at most 29 bytes.';
end
$$;

-- For who may not ALTER DATABASE ... SET socketio.prefix, which only superusers may.
create or replace function socketio.set_prefix(prefix text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if prefix is null or octet_length(prefix) not between 1 and 29 then
    raise exception using errcode = 'invalid_parameter_value',
      message = 'Cannot set the prefix as it has 1 to 29 bytes: current value is ' || coalesce(quote_literal(prefix), 'null');
  end if;
  execute format(
    'create or replace function socketio._default_prefix() returns text '
    'language sql immutable parallel safe set search_path = pg_catalog, pg_temp as %L',
    format('select %L::text', prefix));
end
$$;

-- How the channel of a namespace is called, or that of a room.
create or replace function socketio.channel(nsp text default '/', room text default null) returns text
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  prefix text := socketio._prefix();
  name text;
begin
  if nsp is null or left(nsp, 1) <> '/' then
    raise exception using
      errcode = case when nsp is null then 'null_value_not_allowed' else 'invalid_parameter_value' end,
      message = 'Cannot name a channel as nsp is no namespace: current value is ' || coalesce(quote_literal(nsp), 'null'),
      hint = 'A namespace starts with a slash: "/" or "/chat".';
  end if;
  if octet_length(nsp) > 16384 then
    raise exception using errcode = 'program_limit_exceeded',
      message = format('Cannot name a channel as the namespace has %s bytes: at most 16384 are allowed', octet_length(nsp));
  end if;
  name := prefix || ':' || nsp;
  if room is not null then name := name || ':' || room || '#'; end if;
  -- LISTEN cuts off what is longer, and pg_notify refuses it.
  if octet_length(name) <= 63 then return name; end if;
  return prefix || ':#' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 32);
end
$$;

-- HMAC-SHA-256 (RFC 2104) with core functions, for keys of at most 64 bytes.
create or replace function socketio._pad(key bytea, pad text) returns bytea
language plpgsql immutable parallel safe strict set search_path = pg_catalog, pg_temp
as $$
declare
  padded bytea := decode(repeat(pad, 64), 'hex');
begin
  for i in 0 .. octet_length(key) - 1 loop
    padded := set_byte(padded, i, get_byte(padded, i) # get_byte(key, i));
  end loop;
  return padded;
end
$$;

-- The functions sign what they send from now on. The key is that of PROTOCOL.md, 32 bytes: with it one can send, and not
-- read what is encrypted. Null: they sign nothing.
create or replace function socketio.set_signing_key(signing_key bytea, encrypt boolean default false) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set client_min_messages = warning
as $$
declare
  grantee regrole;
begin
  if signing_key is null then
    drop table if exists socketio.secret;
    return;
  end if;
  if octet_length(signing_key) <> 32 or encrypt is null then
    raise exception using errcode = 'invalid_parameter_value',
      message = 'Cannot set the signing key as it has 32 bytes: current value has ' || octet_length(signing_key);
  end if;
  create table if not exists socketio.secret (
    only_one boolean primary key default true check (only_one),
    key_id text not null,
    inner_pad bytea not null,
    outer_pad bytea not null,
    encrypt boolean not null
  );
  -- Default privileges may have given it to others.
  revoke all on table socketio.secret from public;
  for grantee in
    select distinct acl.grantee from pg_class, aclexplode(relacl) as acl
    where pg_class.oid = 'socketio.secret'::regclass and acl.grantee not in (0, relowner)
  loop
    execute format('revoke all on table socketio.secret from %s', grantee);
  end loop;
  insert into socketio.secret values (
    true,
    left(encode(sha256(signing_key), 'hex'), 8),
    socketio._pad(signing_key, '36'),
    socketio._pad(signing_key, '5c'),
    encrypt
  ) on conflict (only_one) do update set
    key_id = excluded.key_id,
    inner_pad = excluded.inner_pad,
    outer_pad = excluded.outer_pad,
    encrypt = excluded.encrypt;
end
$$;

-- The same with the secret of the servers, of which only the signing key is kept. encrypt: whether the servers encrypt.
create or replace function socketio.set_secret(secret text, encrypt boolean default false) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  root bytea := sha256(convert_to(E'socketio-pg seal 1 secret\n' || secret, 'UTF8'));
begin
  if octet_length(secret) < 16 then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('Cannot set the secret as it has %s bytes: at least 16 are needed', octet_length(secret));
  end if;
  perform socketio.set_signing_key(
    sha256(socketio._pad(root, '5c') || sha256(socketio._pad(root, '36') || convert_to('socketio-pg seal 1 sign', 'UTF8'))),
    encrypt);
end
$$;

-- A payload with its seal.
create or replace function socketio._seal(
  channel text,
  payload text,
  key_id text,
  inner_pad bytea,
  outer_pad bytea,
  ms bigint default null,
  nonce bytea default null
) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  stamped text := payload || '~1' || key_id
    || lpad(coalesce(ms, (extract(epoch from clock_timestamp()) * 1000)::bigint)::text, 13, '0')
    || encode(coalesce(nonce, substr(sha256(uuid_send(gen_random_uuid())), 1, 12)), 'base64');
begin
  return stamped || encode(
    sha256(outer_pad || sha256(inner_pad || convert_to(octet_length(channel) || ':' || channel || stamped, 'UTF8'))),
    'base64');
end
$$;

-- How many UTF-16 code units a text has: what JavaScript counts.
create or replace function socketio._units(given text) returns integer
language sql immutable parallel safe strict set search_path = pg_catalog, pg_temp
as $$
  select case
    when octet_length(given) = length(given) then length(given)
    else length(given) + length(regexp_replace(given, '[^\U00010000-\U0010FFFF]+', '', 'g'))
  end
$$;

-- Rooms as JSON.
create or replace function socketio._rooms(rooms text[], what text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  json text;
begin
  if rooms = '{}' then return ''; end if;
  -- Without them a message would be for everyone.
  if rooms is null or array_ndims(rooms) > 1 or array_position(rooms, null) is not null then
    raise exception using
      errcode = case when array_ndims(rooms) > 1 then 'invalid_parameter_value' else 'null_value_not_allowed' end,
      message = format('Cannot send a message as %s must be an array of names without null', what),
      detail = format('It is %s.', coalesce(quote_literal(left(rooms::text, 200)), 'null')),
      hint = 'An empty array is for everyone; array_remove(rooms, null) leaves out what is null.';
  end if;
  json := to_jsonb(rooms)::text;
  if cardinality(rooms) > 100000 then
    raise exception using errcode = 'program_limit_exceeded',
      message = format('Cannot send a message as %s has %s names: at most 100000 are allowed', what, cardinality(rooms));
  end if;
  if octet_length(json) > 16384 and exists (select from unnest(rooms) as room where socketio._units(room) > 16384) then
    raise exception using errcode = 'program_limit_exceeded',
      message = format('Cannot send a message as a name in %s is longer than 16384 characters', what);
  end if;
  return json;
end
$$;

-- An event and its arguments as JSON.
create or replace function socketio._event(event text, args jsonb, reserved text[]) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  name text;
  json text;
begin
  if event is null then
    raise exception using errcode = 'null_value_not_allowed',
      message = 'Cannot emit an event as its name is null';
  end if;
  if event = any (reserved) then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('Cannot emit "%s" as Socket.IO keeps this name for itself', event),
      detail = format('Such names are: %s.', array_to_string(reserved, ', ')),
      hint = 'Give the event another name.';
  end if;
  name := to_jsonb(event)::text;
  if args is null then return '[' || name || ',null]'; end if;
  if args = '[]' then return '[' || name || ']'; end if;
  json := args::text;
  if octet_length(json) > 33554432 then
    raise exception using errcode = 'program_limit_exceeded',
      message = format('Cannot emit "%s" as its arguments have %s bytes: at most 33554432 are allowed',
        left(event, 60), octet_length(json)),
      hint = 'Emit what identifies the data, and let clients fetch it.';
  end if;
  if octet_length(json) > 990 and jsonb_path_exists(args, 'strict $.**{990}') then
    raise exception using errcode = 'program_limit_exceeded',
      message = format('Cannot emit "%s" as its arguments are nested more deeply than 990 levels', left(event, 60));
  end if;
  if jsonb_typeof(args) <> 'array' then return '[' || name || ',' || json || ']'; end if;
  if jsonb_array_length(args) > 9999 then
    raise exception using errcode = 'program_limit_exceeded',
      message = format('Cannot emit "%s" as it has %s arguments: at most 9999 are allowed',
        left(event, 60), jsonb_array_length(args)),
      hint = 'An array that is one argument stands in another one: jsonb_build_array(value).';
  end if;
  return '[' || name || ',' || right(json, -1);
end
$$;

-- Sends a message: as JSON that people can read where it fits into a payload, else as a record in chunks. What is kept for
-- clients that are away is sent when the transaction commits, and so is what comes after it.
create or replace function socketio._send(
  type integer,
  verb text,
  content text,
  rooms text[],
  except_rooms text[],
  nsp text,
  flags jsonb
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  channel text := socketio.channel(nsp);
  targets text := socketio._rooms(rooms, 'rooms');
  exceptions text := socketio._rooms(except_rooms, 'except_rooms');
  max_bytes integer := 7999;
  is_sealed boolean := to_regclass('socketio.secret') is not null;
  key_id text;
  inner_pad bytea;
  outer_pad bytea;
  is_encrypted boolean;
  is_kept boolean := false;
  is_deferred boolean := coalesce(current_setting('socketio._deferred', true), '') = 'on';
  key text;
  payload text;
  payloads text[] := '{}';
  number bigint;
  body text := '';
  bytes bytea;
  uid text;
  count integer;
  ends integer[] := '{0}';
  cut integer := 0;
begin
  if flags <> '{}' or flags is null then
    if flags is null or jsonb_typeof(flags) <> 'object' then
      raise exception using errcode = 'invalid_parameter_value',
        message = 'Cannot emit with these flags as they are no JSON object: current value is ' || coalesce(flags::text, 'null'),
        hint = 'For example: {"volatile": true}.';
    end if;
    if flags - array['volatile', 'compress', 'recovery'] <> '{}' or exists (
      select from jsonb_each(flags) as flag where jsonb_typeof(flag.value) <> 'boolean'
    ) then
      raise exception using errcode = 'invalid_parameter_value',
        message = 'Cannot emit with these flags as one is unknown or no boolean: current value is ' || flags::text,
        hint = 'The flags are "volatile", "compress" and "recovery".';
    end if;
  end if;
  if type = 3 then
    is_kept := coalesce(
        (flags ->> 'recovery')::boolean,
        lower(current_setting('socketio.recovery', true)) in ('on', 'true', 'yes', '1'),
        false
      ) and not coalesce((flags ->> 'volatile')::boolean, false);
    flags := flags - 'recovery';
  end if;
  if is_sealed then
    select secret.key_id, secret.inner_pad, secret.outer_pad, secret.encrypt
      into key_id, inner_pad, outer_pad, is_encrypted from socketio.secret;
    is_sealed := key_id is not null;
    if is_sealed then max_bytes := 7916; end if;
  end if;

  if is_kept then
    if to_regprocedure('socketio.recovery_send(json)') is null then
      raise exception using errcode = 'object_not_in_prerequisite_state',
        message = 'Cannot keep an event for clients that are away as this database has no log of connection state recovery',
        hint = 'Run "socketio-pg install-sql --recovery", or emit with the flag "recovery" as false.';
    end if;
    is_deferred := true;
    perform set_config('socketio._deferred', 'on', true);
    -- Room for the number that the log puts before it.
    max_bytes := max_bytes - 18;
    key := channel;
    if rooms <> '{}' then
      key := (
        select case when min(room) = max(room) then socketio.channel(nsp, min(room)) else channel end
        from unnest(rooms) as room);
    end if;
  end if;

  if octet_length(content) <= max_bytes then
    payload := '{"' || verb || '":' || content;
    if targets <> '' then payload := payload || ',"to":' || targets; end if;
    if exceptions <> '' then payload := payload || ',"except":' || exceptions; end if;
    if nsp <> '/' then payload := payload || ',"nsp":' || to_jsonb(nsp)::text; end if;
    if flags <> '{}' then payload := payload || ',' || btrim(flags::text, '{}'); end if;
    if not is_sealed then
      -- PostgreSQL folds equal payloads of one transaction into one. A number that counts within the transaction tells
      -- them apart (a seal does it by itself).
      number := coalesce(nullif(current_setting('socketio._sent', true), ''), '0')::bigint + 1;
      perform set_config('socketio._sent', number::text, true);
      payload := payload || ',"id":' || number;
    end if;
    payload := payload || '}';
    if octet_length(payload) <= max_bytes then
      if is_sealed then payload := socketio._seal(channel, payload, key_id, inner_pad, outer_pad); end if;
      if is_deferred then
        perform socketio.recovery_send(json_build_array(
          json_build_object('channel', channel, 'payload', payload, 'key', key, 'origin', '')));
      else
        perform pg_notify(channel, payload);
      end if;
      return;
    end if;
  end if;

  if is_encrypted then
    raise exception using errcode = 'program_limit_exceeded',
      message = format('Cannot send a message of %s bytes from SQL as the servers encrypt', octet_length(content)),
      detail = 'SQL can sign and not encrypt, and servers that encrypt take signed messages of at most 7916 bytes, all in all.',
      hint = 'Emit what identifies the data, and let clients fetch it.';
  end if;
  payload := '{"t":' || type || ',"n":' || to_jsonb(nsp)::text;
  if targets <> '' then payload := payload || ',"r":' || targets; end if;
  if exceptions <> '' then payload := payload || ',"x":' || exceptions; end if;
  if flags <> '{}' then payload := payload || ',"f":' || flags::text; end if;
  if type = 3 then
    body := '2' || case when nsp = '/' then '' else nsp || ',' end || content;
  elsif type = 9 then
    body := content;
  else
    payload := payload || ',"v":' || content;
  end if;
  payload := payload || '}';
  if octet_length(body) > 33554432 or octet_length(payload) > 12184811 then
    raise exception using errcode = 'program_limit_exceeded',
      message = format('Cannot send a message of %s bytes', octet_length(payload) + octet_length(body)),
      detail = 'At most 33554432 bytes of arguments and 12184811 bytes of rooms are allowed.',
      hint = 'Emit what identifies the data, and let clients fetch it.';
  end if;
  bytes := convert_to(socketio._units(payload) || ',' || socketio._units(body) || ';' || payload || body, 'UTF8');

  -- Room for the head of a frame: 1c, the sender, sequence, index and count.
  max_bytes := max_bytes - 18 - 3 * 7 - 5;
  while cut < octet_length(bytes) loop
    cut := least(cut + max_bytes, octet_length(bytes));
    -- A byte of the form 10xxxxxx continues a character.
    while cut < octet_length(bytes) and get_byte(bytes, cut) & 192 = 128 loop
      cut := cut - 1;
    end loop;
    ends := ends || cut;
  end loop;
  count := cardinality(ends) - 1;
  -- A sender of its own, so that the sequence is right without a memory.
  uid := encode(substr(sha256(uuid_send(gen_random_uuid())), 1, 8), 'hex');
  for i in 1 .. count loop
    payload := '1c' || uid || i || ',,' || i - 1 || '/' || count || ';'
      || convert_from(substr(bytes, ends[i] + 1, ends[i + 1] - ends[i]), 'UTF8');
    if is_sealed then payload := socketio._seal(channel, payload, key_id, inner_pad, outer_pad); end if;
    if is_deferred then
      payloads := payloads || payload;
    else
      perform pg_notify(channel, payload);
    end if;
  end loop;
  if is_deferred then
    -- All but the last are kept beside it.
    perform socketio.recovery_send((
      select json_agg(json_build_object(
        'channel', channel,
        'payload', piece,
        'key', case when n = count or not is_kept then key else uid || ':1' end,
        'origin', uid || ':' || n) order by n)
      from unnest(payloads) with ordinality as pieces (piece, n)));
  end if;
end
$$;

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

-- Fills the placeholders of a template: {op}, {table}, {schema}, and the names of columns; {{ is a brace. Null where a
-- column is null, and where there is no row (TRUNCATE). What is filled in is not looked at again.
create or replace function socketio._fill(template text, change jsonb, data jsonb) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  filled text := '';
  rest text := template;
  opening integer;
  closing integer;
  name text;
begin
  if template is null then return null; end if;
  loop
    opening := strpos(rest, '{');
    if opening = 0 then return filled || rest; end if;
    filled := filled || left(rest, opening - 1);
    rest := substr(rest, opening + 1);
    if left(rest, 1) = '{' then
      filled := filled || '{';
      rest := substr(rest, 2);
      continue;
    end if;
    closing := strpos(rest, '}');
    name := left(rest, closing - 1);
    -- Where there is no row this is null, and so is what is filled in.
    if closing = 0 or not (change ? name or data ? name) then
      raise exception using errcode = 'undefined_column',
        message = format('Cannot fill in the template "%s" as it has a placeholder for no column', template),
        hint = 'Placeholders are {op}, {table}, {schema} and {column} with the name of a column; {{ stands for a brace.';
    end if;
    filled := filled || coalesce(change ->> name, data ->> name);
    rest := substr(rest, closing + 1);
  end loop;
end
$$;

-- The rooms of a row: of a template with a null none.
create or replace function socketio._fill_all(templates text[], change jsonb, data jsonb) returns text[]
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  template text;
  room text;
  rooms text[] := '{}';
begin
  foreach template in array templates loop
    room := socketio._fill(template, change, data);
    if room is not null then rooms := rooms || room; end if;
  end loop;
  return rooms;
end
$$;

-- The listed columns of a row; all without a list.
create or replace function socketio._pick(data jsonb, columns text[]) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  picked jsonb;
begin
  if columns is null or data is null then return data; end if;
  if not data ?& columns then
    raise exception using errcode = 'undefined_column',
      message = format('Cannot emit a change as the table has no column "%s"',
        (select name from unnest(columns) as name where not data ? name limit 1)),
      hint = 'The option "columns" of socketio.emit_changes() lists names of columns.';
  end if;
  select jsonb_object_agg(name, data -> name) into picked from unnest(columns) as name;
  return picked;
end
$$;

-- The old values of a row that was updated, or those that changed.
create or replace function socketio._old(before jsonb, after jsonb, mode text) returns jsonb
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select case mode
    when 'all' then before
    else (select jsonb_object_agg(key, value) from jsonb_each(before) where value is distinct from after -> key)
  end
$$;

-- The arguments of emit_changes(), checked.
create or replace function socketio._change_options(
  given text[],
  out event text,
  out rooms text[],
  out columns text[],
  out old text,
  out on_large text,
  out max_bytes integer,
  out nsp text,
  out flags jsonb
)
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  options jsonb;
  wrong text;
begin
  if cardinality(given) is distinct from 3 then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('Cannot emit changes as emit_changes() has three arguments: it was given %s', coalesce(cardinality(given), 0)),
      hint = $hint$For example: socketio.emit_changes('order:{op}', 'customer:{customer_id}', '{"columns":["id","status"]}').$hint$;
  end if;
  event := given[0];
  if given[1] = '' then
    rooms := '{}';
  elsif left(given[1], 1) = '[' then
    rooms := array(select jsonb_array_elements_text(given[1]::jsonb));
    -- A null would be no room, and without rooms a change would be for everyone.
    if given[1]::jsonb @? 'strict $[*] ? (@.type() != "string")' then
      raise exception using errcode = 'invalid_parameter_value',
        message = 'Cannot emit changes as the rooms of emit_changes() are no list of texts: current value is ' || given[1],
        hint = 'For example: ["customer:{customer_id}", "staff"]. An empty text is for everyone.';
    end if;
  else
    rooms := array[given[1]];
  end if;
  options := given[2]::jsonb;
  old := coalesce(options ->> 'old', 'none');
  on_large := coalesce(options ->> 'on_large', 'key');
  nsp := coalesce(options ->> 'nsp', '/');
  flags := coalesce(options -> 'flags', '{}');
  -- Each is one expression without a query: this runs for each row.
  wrong := case
    when jsonb_typeof(options) <> 'object' then 'the object of options'
    when options - '{columns,old,on_large,max_bytes,nsp,flags}'::text[] <> '{}'
      then (options - '{columns,old,on_large,max_bytes,nsp,flags}'::text[])::text
    when options -> 'columns' = '"*"' then null
    when jsonb_typeof(options -> 'columns') is distinct from 'array' or options -> 'columns' = '[]'
      or options @? '$.columns[*] ? (@.type() != "string")' then '"columns"'
  end;
  wrong := coalesce(wrong, case
    when old not in ('none', 'changed', 'all') then '"old"'
    when on_large not in ('key', 'error', 'skip') then '"on_large"'
    when options ? 'max_bytes' and (
      options ->> 'max_bytes' !~ '^[1-9][0-9]{0,7}$' or (options ->> 'max_bytes')::integer > 33554432
    ) then '"max_bytes"'
    when left(nsp, 1) <> '/' or octet_length(nsp) > 16384 then '"nsp"'
  end);
  if wrong is not null then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('Cannot emit changes as an option of emit_changes() is unknown, missing or wrong: %s', wrong),
      detail = 'The options are ' || given[2],
      hint = '"columns": a list of names or "*"; "old": "none", "changed" or "all"; "on_large": "key", "error" or "skip"; '
        '"max_bytes": up to 33554432; "nsp": a namespace; "flags": an object.';
  end if;
  max_bytes := coalesce((options ->> 'max_bytes')::integer, 33554432);
  if options -> 'columns' <> '"*"' then
    columns := array(select jsonb_array_elements_text(options -> 'columns'));
  end if;
end
$$;

-- The columns of a table's primary key; none where it has none.
create or replace function socketio._key(of_table oid) returns text[]
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(attname::text order by array_position(indkey::smallint[], attnum)), '{}')
  from pg_index join pg_attribute on attrelid = indrelid
    -- Not those that are only included.
    and attnum = any ((indkey::smallint[])[0:indnkeyatts - 1])
  where indrelid = of_table and indisprimary
$$;

-- What was written is kept, and nobody hears of it.
create or replace function socketio._warn(of_table oid, why text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  raise warning using errcode = 'program_limit_exceeded',
    message = format('Cannot emit a change of %s, by its key neither: nobody is told', of_table::regclass),
    detail = why;
end
$$;

-- Emits one change. What is too large goes by its key, and if that is too large, too, without it: whatever limit it is of
-- those that sending has, the statement that writes does not fail of it.
create or replace function socketio._emit_change(
  event text,
  rooms text[],
  change jsonb,
  member text,
  data jsonb,
  before jsonb,
  whole jsonb,
  of_table oid,
  max_bytes integer,
  on_large text,
  nsp text,
  flags jsonb
) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  message jsonb;
  bytes integer;
  key text[];
  why text;
begin
  for attempt in 1 .. 3 loop
    begin
      if attempt = 1 then
        message := change || jsonb_build_object(member, data);
        if before is not null then message := message || jsonb_build_object('old', before); end if;
      else
        message := change || '{"large":true}';
        if attempt = 2 then
          key := socketio._key(of_table);
          continue when key = '{}';
          message := message || jsonb_build_object(member, case
            when jsonb_typeof(whole) <> 'array' then socketio._pick(whole, key)
            else (
              select coalesce(jsonb_agg(socketio._pick(value, key) order by n), '[]')
              from jsonb_array_elements(whole) with ordinality as rows (value, n)
            )
          end);
        end if;
      end if;
      bytes := octet_length(message::text);
      -- What is said without rows says no more than what has to be said.
      if bytes > max_bytes and attempt < 3 then
        raise exception using errcode = 'program_limit_exceeded',
          message = format('Cannot emit a change of %s as it has %s bytes: at most %s are allowed', of_table::regclass, bytes, max_bytes),
          hint = 'List fewer columns, or choose "on_large":"key" or "skip".';
      end if;
      perform socketio._send(
        3,
        'emit',
        socketio._event(event, message, '{connect,connect_error,disconnect,disconnecting,newListener,removeListener}'),
        rooms, '{}', nsp, flags);
      return;
    exception when program_limit_exceeded or statement_too_complex then
      if on_large = 'error' then raise; end if;
      if on_large = 'skip' then return; end if;
      get stacked diagnostics why = message_text;
    end;
  end loop;
  perform socketio._warn(of_table, why);
end
$$;

-- A trigger that emits what has changed: its arguments are a template of the event, one or several of rooms, and options.
-- For each row, or once for each statement (with the transition tables), then once for each event and rooms.
create or replace function socketio.emit_changes() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  o record;
  change jsonb := jsonb_build_object('op', lower(tg_op), 'schema', tg_table_schema, 'table', tg_table_name);
  is_for_all boolean;
  event text;
  rooms text[];
  whole jsonb;
  data jsonb;
  before jsonb;
  new_table name;
  old_table name;
  new_rows jsonb[];
  old_rows jsonb[];
  why text;
begin
  if lower(current_setting('socketio.suppress', true)) in ('on', 'true', 'yes', '1') then return null; end if;
  if tg_when <> 'AFTER' then
    raise exception using errcode = 'trigger_protocol_violated',
      message = format('Cannot emit changes as trigger "%s" fires %s', tg_name, tg_when),
      hint = 'CREATE TRIGGER ... AFTER INSERT OR UPDATE OR DELETE ON ... FOR EACH ROW';
  end if;
  o := socketio._change_options(tg_argv);
  is_for_all := o.rooms = '{}';

  if tg_level = 'ROW' then
    begin
      whole := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
      data := socketio._pick(whole, o.columns);
      if tg_op = 'UPDATE' then
        before := socketio._pick(to_jsonb(old), o.columns);
        if before = data then return null; end if;
        before := case when o.old <> 'none' then socketio._old(before, data, o.old) end;
      end if;
      event := socketio._fill(o.event, change, whole);
      rooms := socketio._fill_all(o.rooms, change, whole);
      if event is not null and (is_for_all or rooms <> '{}') then
        perform socketio._emit_change(
          event, rooms, change, 'row', data, before, whole, tg_relid, o.max_bytes, o.on_large, o.nsp, o.flags);
      end if;
    exception when program_limit_exceeded or untranslatable_character or invalid_text_representation
      or numeric_value_out_of_range
    then
      -- jsonb cannot hold a value of the row: it is too large, or a json of which jsonb takes less.
      if o.on_large = 'error' then raise; end if;
      if o.on_large = 'key' then
        get stacked diagnostics why = message_text;
        perform socketio._warn(tg_relid, why);
      end if;
    end;
    return null;
  end if;

  if tg_op = 'TRUNCATE' then
    event := socketio._fill(o.event, change, null);
    rooms := socketio._fill_all(o.rooms, change, null);
    if event is not null and (is_for_all or rooms <> '{}') then
      perform socketio._emit_change(
        event, rooms, change, 'rows', '[]', null, '[]', tg_relid, o.max_bytes, o.on_large, o.nsp, o.flags);
    end if;
    return null;
  end if;
  select tgnewtable, tgoldtable into new_table, old_table from pg_trigger where tgrelid = tg_relid and tgname = tg_name;
  if new_table is null and tg_op <> 'DELETE' or old_table is null and tg_op <> 'INSERT' then
    raise exception using errcode = 'trigger_protocol_violated',
      message = format('Cannot emit changes as trigger "%s" fires once for each statement and has no transition tables', tg_name),
      hint = 'CREATE TRIGGER ... REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT '
        '(for INSERT only the new one, for DELETE only the old one), or FOR EACH ROW.';
  end if;
  begin
    if new_table is not null then
      execute format('select array_agg(to_jsonb(changed.*)) from %I as changed', new_table) into new_rows;
    end if;
    if old_table is not null then
      execute format('select array_agg(to_jsonb(changed.*)) from %I as changed', old_table) into old_rows;
    end if;
    -- Both transition tables have the rows of an UPDATE in the same order.
    for event, rooms, data, before, whole in
      with picked as (
        select
          n,
          coalesce(new_row, old_row) as row_whole,
          socketio._pick(coalesce(new_row, old_row), o.columns) as row_data,
          socketio._pick(old_row, o.columns) as row_before
        from unnest(new_rows, old_rows) with ordinality as changed (new_row, old_row, n)
      ), named as (
        select
          n, row_whole, row_data, row_before,
          socketio._fill(o.event, change, row_whole) as row_event,
          socketio._fill_all(o.rooms, change, row_whole) as row_rooms
        from picked where tg_op <> 'UPDATE' or row_data <> row_before
      )
      select
        row_event,
        row_rooms,
        jsonb_agg(row_data order by n),
        jsonb_agg(socketio._old(row_before, row_data, o.old) order by n) filter (where tg_op = 'UPDATE' and o.old <> 'none'),
        jsonb_agg(row_whole order by n) filter (where o.on_large = 'key')
      from named where row_event is not null and (is_for_all or row_rooms <> '{}')
      group by row_event, row_rooms order by min(n)
    loop
      perform socketio._emit_change(
        event, rooms, change, 'rows', data, before, whole, tg_relid, o.max_bytes, o.on_large, o.nsp, o.flags);
    end loop;
  exception when program_limit_exceeded or untranslatable_character or invalid_text_representation
    or numeric_value_out_of_range
  then
    -- jsonb cannot hold all the rows: who would get them hears that there are some.
    if o.on_large = 'error' then raise; end if;
    if o.on_large = 'skip' then return null; end if;
    begin
      for event, rooms in execute format(
        'select distinct socketio._fill($1, $3, given), socketio._fill_all($2, $3, given) '
        'from (select to_jsonb(changed.*) as given from %I as changed) as row', coalesce(new_table, old_table))
        using o.event, o.rooms, change
      loop
        continue when event is null or rooms = '{}' and not is_for_all;
        perform socketio._emit_change(event, rooms, change, 'rows', null, null, null, tg_relid, 0, 'key', o.nsp, o.flags);
      end loop;
    exception when program_limit_exceeded or untranslatable_character or invalid_text_representation
      or numeric_value_out_of_range
    then
      get stacked diagnostics why = message_text;
      perform socketio._warn(tg_relid, why);
    end;
  end;
  return null;
end
$$;

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
`;
