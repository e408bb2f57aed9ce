#!/bin/sh
# Tells the users. Replace the line below by whatever reaches yours: a status page, a chat, a mail.
set -eu
echo "to all users: $*"
