#!/bin/sh
# Create the database and its owner. The image of PostgreSQL runs this when it initializes an empty volume.
# CREATEROLE is for the role of reports; the owner can grant only rights that it has itself.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$(cat "${SECRETS:-/run/secrets}/database_password")" <<'SQL'
CREATE ROLE salesengine LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE salesengine OWNER salesengine;
SQL
