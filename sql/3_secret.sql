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
