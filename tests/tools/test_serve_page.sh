#!/bin/sh
# The server's web page. What is promised:
#   - its files are served without a key, with their types, under a policy that lets it load and ask nothing but its own
#     server; no text from the server or the reader becomes markup;
#   - in a browser: it asks for the key where there is one, and streams an answer that is the API's; adapters are chosen,
#     loaded, unloaded, and answer beside the base; the template of one that has one makes the prompt; the next token's
#     bars, a token's alternatives and a classifier's labels are the API's; code stands between its fences; all of it by
#     keyboard, and 400 pixels wide.
# The second part needs chromedriver (Debian: chromium-driver) and curl, and is skipped without.
# usage: test_serve_page.sh LORAC MAKE_TINY SEND
. "$(dirname "$0")/support.sh"
. "$(dirname "$0")/support_serve.sh"
driver=
trap 'for p in $server $driver; do kill -9 $p 2>/dev/null; done; rm -rf "$dir"' EXIT

cat >"$model/chat_template.jinja" <<'END'
{%- for m in messages %}{{ '<s>' + m.role[0] + ':' + m.content + '</s>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<s>a:' }}{% endif %}
END
a_run 4
(cd "$dir" && "$lorac" train run.yaml >/dev/null 2>"$dir/err") || { fail "train: $(cat "$dir/err")"; finish; }
printf 'a-key\n' >"$dir/keys"
serve --api-key-file "$dir/keys" --adapter-root "$dir/runs"
bearer='Authorization: Bearer a-key\r\n'

# ---- its files ----
for file in '/=text/html' '/page.css=text/css' '/page.js=text/javascript' '/icon.svg=image/svg+xml'; do
    get "${file%=*}" && status 200 "Content-Type: ${file#*=}" "Content-Security-Policy: default-src 'self';" \
        "require-trusted-types-for 'script'" "frame-ancestors 'none'" 'X-Content-Type-Options: nosniff'
    sed 's/xmlns="[^"]*"//' "$dir/answer" | sed '1,/^\r$/d' >"$dir/file"
    [ -s "$dir/file" ] || fail "nothing is in $file"
    grep -nE '//[a-z]|url\(|@import|[[:space:]](style|on[a-z]+)="|(src|href)="[^/]|<script>|<style' "$dir/file" && fail "$file is not by itself"
    grep -nE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage' "$dir/file" && fail "$file makes markup"
done

# ---- a browser ----
for program in chromedriver curl; do
    command -v $program >/dev/null || { quit; [ $failed = 0 ] || finish; echo "skipped: no $program"; exit 77; }
done
HOME=$dir TMPDIR=$dir chromedriver --port=0 >"$dir/driver" 2>&1 &
driver=$!
for i in $(seq 100); do
    at=$(sed -n 's/.* on port \([0-9]*\)\..*/\1/p' "$dir/driver")
    [ -n "$at" ] && break
    sleep 0.1
done
[ -n "$at" ] || { fail "no driver: $(cat "$dir/driver")"; finish; }

session=
drive() { # drive METHOD PATH BODY: the value that the driver answers is in $value
    curl -s --max-time 60 --noproxy '*' -X "$1" -H 'Content-Type: application/json' ${3:+--data-binary "$3"} \
        "http://127.0.0.1:$at/session$session${2-}" >"$dir/driven"
    grep -q '"value":{"error":' "$dir/driven" && { fail "$*:"; cat "$dir/driven"; echo; }
    value=$(sed -n 's/^{"value":\(.*\)}$/\1/p' "$dir/driven")
}
js() { drive POST /execute/sync "{\"script\":\"const \$ = (id) => document.getElementById(id), all = (css) => [...document.querySelectorAll(css)]; $1\",\"args\":[]}"; }
comes() { # comes EXPRESSION: it becomes true, soon
    for i in $(seq 150); do # 15 s and what the asking takes
        js "return Boolean($1)"
        [ "$value" = true ] && return
        sleep 0.1
    done
    fail "never: $1"
    js 'return document.body.innerText'
    printf '%s\n' "$value"
}
is() { js "return String($1)"; [ "$value" = "\"$2\"" ] || fail "$1: expected $2, found $value"; }
keys() { # keys TEXT: into what has the focus; \uE006 Enter, \uE004 Tab, \uE00C Escape, \uE014 the right arrow
    drive GET /element/active
    drive POST "/element/$(printf %s "$value" | sed 's/.*:"\(.*\)"}/\1/')/value" "{\"text\":\"$1\"}"
}
focus() { js "$1.focus()"; }
pick() { js "\$('$1').value = '$2'; \$('$1').dispatchEvent(new Event('change'))"; is "\$('$1').value" "$2"; }
# asks N: an answer is there, the Nth
asks() { comes "all('.turn').length === $1 && \$('send').textContent === 'Send' && !all('.running').length"; }
said() { # said MODEL LANE PATH BODY: the last turn's answer in this lane (from 0) is the API's
    post "$3" "{\"model\":\"$1\",\"temperature\":0,\"max_tokens\":12,$4}" "$bearer" && status 200
    js "window.api = $(sed '1,/^\r$/d' "$dir/answer" | sed 's/\\/\\\\/g; s/"/\\"/g').choices[0]"
    is "all('.turn:last-of-type .lane')[$2].querySelector('h3').textContent" "$1"
    is "all('.turn:last-of-type .text')[$2].textContent === (api.message?.content ?? api.text).replace(/^ (?=.)/, '')" true
}

drive POST '' '{"capabilities":{"alwaysMatch":{"goog:loggingPrefs":{"browser":"ALL"},"goog:chromeOptions":{"args":["--headless=new","--no-sandbox","--disable-gpu","--window-size=1400,900","--disable-dev-shm-usage"]}}}}'
session=/$(printf %s "$value" | sed 's/.*"sessionId":"\([^"]*\)".*/\1/')
drive POST /url "{\"url\":\"http://127.0.0.1:$port/\"}"

# a key
comes "!\$('keys').hidden && document.activeElement === \$('key')"
is "\$('nothing').textContent" ''
is "\$('compose').hidden" true
keys 'wrong\uE006'
comes "/no key, or a wrong one/.test(\$('nothing').textContent)"
keys 'a-key\uE006'
comes "\$('keys').hidden && \$('model').value === 'base'"
is "Object.keys(localStorage).length" 0

# an answer, streamed
js "window.grown = 0; new MutationObserver(() => grown++).observe(\$('turns'), {subtree: true, childList: true}); \$('temperature').value = 0; \$('length').value = 12"
focus "\$('field0')"
keys 'hello\uE006'
asks 1
said base 0 /v1/chat/completions '"messages":[{"role":"user","content":"hello"}]'
js 'return grown > 4'
[ "$value" = true ] || fail "the answer comes at once"
comes "\$('said').textContent.startsWith('base: ')"

# its tokens
js "all('.text [tabindex]')[0].focus()"
comes "!\$('alternatives').hidden && all('#alternatives li').length >= 5 && all('#alternatives .chosen').length === 1"
keys '\uE014'
comes "document.activeElement === all('.text [tabindex]')[1] && document.activeElement.tabIndex === 0 && all('.text [tabindex=\\\\'0\\\\']').length === 1"
keys '\uE00C'
comes "\$('alternatives').hidden"

# an adapter comes; a path that is none is told
focus "\$('name')"
keys 'mine\uE004nowhere\uE006'
comes "/no folder/.test(\$('trouble').textContent)"
js "\$('path').value = ''"
focus "\$('path')"
keys 'one/best\uE006'
comes "[...\$('model').options].some((o) => o.value === 'mine') && \$('trouble').textContent === ''"

# beside the base, by its template
pick beside mine
is "\$('as').value" template
is "\$('template').textContent" '{text} is'
focus "\$('fields').querySelector('textarea')"
keys 'warm\uE006'
asks 2
is "all('.asked')[1].textContent" 'warm is'
said base 0 /v1/completions '"prompt":"warm is"'
said mine 1 /v1/completions '"prompt":"warm is"'
is "all('.turn:last-of-type .text')[0].textContent === all('.turn:last-of-type .text')[1].textContent" false

# the labels that it chooses from, of the adapter alone
is "all('.turn:last-of-type .labels').length" 1
post /classify '{"model":"mine","input":"warm"}' "$bearer" && status 200
js "window.api = $(sed '1,/^\r$/d' "$dir/answer" | sed 's/\\/\\\\/g; s/"/\\"/g')"
is "all('.labels .token')[0].textContent === api.data[0].label && all('.labels .token').length === api.labels.length" true
is "all('.labels .part')[0].textContent === (100 * Math.max(...api.data[0].probs)).toFixed(1) + ' %'" true

# alone, as it stands
pick model mine
pick beside ''
pick as plain
focus "\$('field0')"
keys '<b>go</b>\uE006'
asks 3
is "all('.turn b').length" 0
said mine 0 /v1/completions '"prompt":"<b>go</b>"'

# bars
focus "\$('before')"
keys '\uE006'
comes "all('#bars li').length === 10"
post /v1/completions '{"model":"mine","prompt":"Listen to your","temperature":0,"max_tokens":1,"logprobs":10}' "$bearer" && status 200
js "window.api = $(sed '1,/^\r$/d' "$dir/answer" | sed 's/\\/\\\\/g; s/"/\\"/g').choices[0].logprobs"
is "all('#bars .part')[0].textContent === (100 * Math.exp(Math.max(...Object.values(api.top_logprobs[0])))).toFixed(1) + ' %'" true
is "all('#bars .part').map((e) => parseFloat(e.textContent)).every((p, i, a) => !i || p <= a[i - 1])" true

# code, as markup never
js "const l = makeLane('x', false); for (const t of ['a\\\\n', '\\u0060\\u0060\\u0060', 'py\\\\n', '<b>1</b>', '\\\\n', '\\u0060\\u0060\\u0060', '\\\\n', 'z']) { l.add(t, [{text: t, top: []}]); } window.lane = l.text"
is "[...lane.children].map((e) => e.className ? 1 : 0).join('')" 00111100
is "lane.querySelectorAll('b').length + ' ' + lane.textContent.includes('<b>1</b>')" '0 true'

# stopped
js "\$('length').value = 480; \$('temperature').value = 2"
js "new MutationObserver((m, self) => { if (all('.running .text span').length > 1) { self.disconnect(); \$('send').click(); } }).observe(\$('turns'), {subtree: true, childList: true})"
focus "\$('field0')"
keys 'on\uE006'
asks 4
is "all('.about')[4].textContent.split(' ')[0]" stopped # tokens and rate stand behind it, where they were known

# the adapter goes
js "all('#adapters button')[0].click()"
comes "\$('model').options.length === 1 && \$('model').value === 'base'"

# 400 pixels
drive POST /goog/cdp/execute '{"cmd":"Emulation.setDeviceMetricsOverride","params":{"width":400,"height":800,"deviceScaleFactor":1,"mobile":true}}'
comes "innerWidth === 400 && getComputedStyle(\$('side')).display === 'none'"
is "document.documentElement.scrollWidth <= 400" true
js "\$('more').click()"
comes "getComputedStyle(\$('side')).display !== 'none' && \$('side').scrollWidth <= 400"

drive POST /se/log '{"type":"browser"}'
printf %s "$value" | grep -qE 'Security Policy|Uncaught|TrustedHTML' && fail "the browser complains: $value"
drive DELETE
kill $driver
wait $driver 2>/dev/null
driver=
quit
finish
