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
