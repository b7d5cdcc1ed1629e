#!/bin/sh
# test_leash.sh LEASH - nothing of a test is left when it ends. What is promised: whether it ends by itself or is killed,
# as ctest does to one that has had its time, or ctest is, what it started is gone and its temporary folder, too; its exit
# code is its own.
set -u
leash=$1
failed=0
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT

# what the test says of itself: its child's id, its folder
cat >"$here/test.sh" <<'SH'
sleep 200 &
echo "$! $TMPDIR $$" >"$0.tmp"
mktemp -d >"$0.made"
mv "$0.tmp" "$0.said"
[ "$1" = runs ] && wait
exit 3
SH

wait_for() { # COMMAND...: true within 10 seconds
    n=0
    until "$@" 2>/dev/null; do
        n=$((n + 1))
        [ $n -lt 100 ] || return 1
        sleep 0.1
    done
}

is_gone() { ! kill -0 "$1" || [ "$(cut -d' ' -f3 "/proc/$1/stat")" = Z ]; }

check() { # HOW: all that the test had is gone
    read -r child folder _ <"$here/test.sh.said"
    case $(cat "$here/test.sh.made") in "$folder"/*) ;; *) echo "$1: a temporary folder is elsewhere"; failed=1 ;; esac
    wait_for is_gone "$child" || { echo "$1: its child lives"; kill "$child"; failed=1; }
    wait_for test ! -e "$folder" || { echo "$1: $folder is left"; failed=1; }
    rm "$here/test.sh.said"
}

"$leash" sh "$here/test.sh" ends
[ $? = 3 ] || { echo "another exit code"; failed=1; }
check "ended"

"$leash" sh "$here/test.sh" runs &
wait_for test -e "$here/test.sh.said"
kill -KILL $!
wait $! 2>/dev/null
check "killed"

sh -c '"$1" sh "$2" runs & wait' sh "$leash" "$here/test.sh" &
wait_for test -e "$here/test.sh.said"
kill -KILL $!
wait $! 2>/dev/null
check "left alone"

"$leash" /nowhere 2>/dev/null && { echo "a command that is not there succeeds"; failed=1; }
exit $failed
