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
