r"""The statements by which a restore replaces a database of PostgreSQL.

psql sets three names. `now` is the database. `new` is the one that a restore fills, and `before` is the one
that it has replaced. The role `now` owns the database, and the restore logs in as the role `new`. `\gexec`
executes each value of a result.
"""

# What a job that was killed left: pg_dump may wait for a lock of an app for ever, and holds locks itself.
END_OLD = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
 WHERE usename = 'postgres' AND application_name = 'portcullis-backup' AND pid <> pg_backend_pid();
"""

LEFT = "SELECT datname FROM pg_database WHERE datname IN (:'new', :'before');"

# A dump may have functions that give the role a password, or rights and things that would keep it from being
# dropped. So it stays, and may log in during a restore only.
ARM = r"""
SELECT format('CREATE ROLE %I', :'new') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'new') \gexec
ALTER ROLE :"new" RESET ALL;
ALTER ROLE :"new" IN DATABASE :"new" SET role = :'now';
GRANT :"now" TO :"new";
ALTER ROLE :"new" NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS INHERIT CONNECTION LIMIT -1
  LOGIN PASSWORD NULL VALID UNTIL 'infinity';
"""
DISARM = r"""
SELECT unnest(ARRAY[format('ALTER ROLE %I NOLOGIN PASSWORD NULL', :'new'),
                    format('REVOKE %I FROM %I', :'now', :'new')])
 WHERE (SELECT count(*) FROM pg_roles WHERE rolname IN (:'now', :'new')) = 2 \gexec
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = :'new';
"""

# The swap is one transaction, so `now` always exists, and is complete. The second statement is for a database
# that somebody has removed by hand: then `before` may be the only copy of the data.
_CLEAN = r"""
SELECT format('ALTER DATABASE %I RENAME TO %I', :'before', :'now')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'now')
   AND EXISTS (SELECT FROM pg_database WHERE datname = :'before') \gexec
SELECT format('DROP DATABASE %I WITH (FORCE)', other.datname)
  FROM pg_database other JOIN pg_database present ON present.datname = :'now'
 WHERE other.datname IN (:'new', :'before') \gexec
"""
CLEAN = DISARM + _CLEAN

# The new database has the encoding and the locale of the present one. Some columns have other names in other
# versions: https://www.postgresql.org/docs/current/catalog-pg-database.html
CREATE = r"""
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L',
              :'new', :'now', pg_encoding_to_char(encoding), datcollate, datctype)
    || format(' TABLESPACE %I', (SELECT spcname FROM pg_tablespace t WHERE t.oid = dattablespace))
    || CASE datlocprovider
       WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', locale)
                  || coalesce(format(' ICU_RULES %L', columns->>'daticurules'), '')
       WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', locale)
       ELSE ' LOCALE_PROVIDER libc' END
  FROM pg_database, to_jsonb(pg_database) columns,
       coalesce(columns->>'datlocale', columns->>'daticulocale') locale
 WHERE datname = :'now' \gexec
SELECT oid FROM pg_database WHERE datname = :'new';
"""

# The extensions in the order in which they were made, their schemas, and whether the superuser made them.
# Of these, only the superuser may restore the comments and the rows that they keep for themselves.
EXTENSIONS = """
WITH found AS (SELECT e.oid AS made, *, extowner = 10 AS by_superuser
                 FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname <> 'plpgsql')
SELECT json_build_object(
    'extensions',
        (SELECT json_agg(json_build_array(extname, nspname, by_superuser) ORDER BY made) FROM found),
    'skip', (SELECT json_agg(entry) FROM (
        SELECT 'COMMENT - EXTENSION plpgsql' AS entry
        UNION SELECT 'COMMENT - EXTENSION ' || quote_ident(extname) FROM found WHERE by_superuser
        UNION SELECT format('TABLE DATA %s %s', s.nspname, relname)
          FROM found, pg_class c JOIN pg_namespace s ON s.oid = relnamespace
         WHERE by_superuser AND c.oid = ANY (extconfig)) entries));
"""

# A function of the dump may have given up the role of the owner, and then made something.
LEAVE = 'REASSIGN OWNED BY :"new" TO :"now"; DROP OWNED BY :"new";'

# Settings of roles and rights on the database belong to the database itself, so the new one gets copies. At
# the end, `now` must be the database that this restore has filled, and not that of another run.
SWAP = r"""
BEGIN;
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname IN (:'now', :'new');
ALTER DATABASE :"now" RENAME TO :"before";
ALTER DATABASE :"new" RENAME TO :"now";
DELETE FROM pg_db_role_setting WHERE setdatabase = :'oid';
INSERT INTO pg_db_role_setting
SELECT :'oid', setrole, setconfig FROM pg_db_role_setting
 WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = :'before');
SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', :'now', datconnlimit)
  FROM pg_database WHERE datname = :'before'
UNION ALL
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC, %I', :'now', :'now')
  FROM pg_database WHERE datname = :'before' AND datacl IS NOT NULL
UNION ALL
SELECT format('GRANT %s ON DATABASE %I TO %s%s', privilege_type, :'now',
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM pg_database, aclexplode(datacl) WHERE datname = :'before' \gexec
SELECT count(*) = 1 AS ours FROM pg_database WHERE oid = :'oid' AND datname = :'now' \gset
\if :ours
COMMIT;
\else
ROLLBACK;
\echo another restore has replaced what this one has filled
\endif
"""
