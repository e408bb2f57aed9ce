do $$ declare one text; begin
  foreach one in array array['default_toast_compression = lz4', 'default_transaction_isolation = serializable', 'quote_all_identifiers = on', 'bytea_output = escape',
    'extra_float_digits = -3', 'intervalstyle = sql_standard', 'datestyle = ''German, DMY''', 'standard_conforming_strings = off', 'array_nulls = off',
    'transform_null_equals = on', 'xmloption = document', 'timezone = ''Asia/Kolkata''', 'client_encoding = LATIN1', 'search_path = nowhere', 'escape_string_warning = off',
    'backslash_quote = off', 'lo_compat_privileges = on', 'session_replication_role = replica', 'default_transaction_deferrable = on']
  loop execute format('alter database %I set %s', current_database(), one); end loop; end $$;
