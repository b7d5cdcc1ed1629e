# What the tests of the server share, after support.sh: `. "$(dirname "$0")/support_serve.sh"` reads their argument SEND;
# serve starts one, the others ask it.
send=$3
port=
server=

serve() { # serve OPTIONS...: a server of the tiny model on a port of its own
    rm -f "$dir/port"
    "$lorac" serve --model "$model" --name base --port 0 --threads 1 "$@" >"$dir/port" 2>"$dir/log" </dev/null &
    server=$!
    for i in $(seq 600); do
        grep -q '^base at ' "$dir/port" && break
        kill -0 $server 2>/dev/null || break
        sleep 0.1
    done
    port=$(sed -n 's/^base at .*:\([0-9]*\)\/v1$/\1/p' "$dir/port")
    [ -n "$port" ] || { fail "no server: $(cat "$dir/log")"; finish; }
}

quit() { # quit: SIGTERM ends it with 0
    kill -TERM "$server"
    wait "$server"
    code=$?
    [ $code = 0 ] || { fail "the server ended with $code"; cat "$dir/log"; }
    server=
}
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$dir"' EXIT

raw() { # raw TEXT [WORDS...]: a request as it stands; its answer is in $dir/answer
    text=$1
    shift
    printf "$text" | timeout 120 "$send" "$port" "$@" >"$dir/answer" || fail "no answer to: $text"
}
get() { raw "GET $1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${2-}\r\n"; }
request() { # request PATH BODY [HEADERS]: a POST, on standard output
    printf 'POST %s HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\nContent-Type: application/json\r\n' "$1" "$port"
    printf "Content-Length: %s\r\n${3-}\r\n%s" "$(printf %s "$2" | wc -c)" "$2"
}
post() { request "$@" | timeout 120 "$send" "$port" >"$dir/answer" || fail "no answer to $1 $2"; }
status() { # status CODE [TEXT...]: of the answer, and what stands in it
    code=$1
    head -n 1 "$dir/answer" | grep -q "^HTTP/1.1 $code " || { fail "expected $code:"; cat "$dir/answer"; echo; return; }
    shift
    for text; do grep -qF -- "$text" "$dir/answer" || { fail "no '$text' in:"; cat "$dir/answer"; echo; }; done
}
