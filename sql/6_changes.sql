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
