#!/bin/sh
# The server, from outside. What is promised:
#   - completions are what `generate` writes, the base's and each adapter's, alone and many at once, whole and streamed;
#   - chats are written by the adapter's own chat template where it brings one, each in one batch; /v1/models says whose;
#   - labels are rated as `generate --labels` rates them;
#   - prompts are rated as `score` rates them (echo, logprobs), the greedy token's value the largest of its list;
#   - adapters come and go by name while it runs, from below --adapter-root alone; no name or path leads elsewhere;
#   - what cannot be answered is refused as OpenAI's clients read it, and nothing that would change an answer is ignored;
#   - other hosts, origins, keys, and clients that are slow, broken or hostile get an error, or nothing, and harm nobody;
#   - SIGTERM answers what runs, then ends; what comes meanwhile gets 503.
# usage: test_serve.sh LORAC MAKE_TINY SEND
. "$(dirname "$0")/support.sh"
. "$(dirname "$0")/support_serve.sh"

text() { sed -n 's/.*"choices":\[{"index":0,"text":"\(.*\)","logprobs":.*/\1/p' "$dir/answer"; }
joined() { sed -n 's/^data: .*"text":"\(.*\)","logprobs":.*/\1/p' "$dir/answer" | tr -d '\n'; } # of a stream

# ---- adapters that answer otherwise: LoRA, DoRA, and one with full copies, which has steps of its own ----
printf 'text,label\nwarm,good\nflat,bad\nmild,good\ncold,bad\n' >"$dir/train.csv"
for name in one two full; do
    case $name in one) more= ;; two) more=', method: dora' ;; full) more=', train_also: [input_layernorm]' ;; esac
    cat >"$dir/$name.yaml" <<END
recipe: 1
model: {path: model, max_length: 40}
adapter: {rank: 4, alpha: 8$more}
data: {train: train.csv}
template: {completion: '$name {text} is {label}'}
train: {steps: 6, batch_size: 2, threads: 1}
optimizer: {lr: 0.05}
output: {dir: adapters/$name}
END
    (cd "$dir" && "$lorac" train $name.yaml >/dev/null 2>"$dir/err") || { fail "train $name: $(cat "$dir/err")"; finish; }
done
a_run 2
(cd "$dir" && "$lorac" train run.yaml >/dev/null 2>"$dir/err") || { fail "train: $(cat "$dir/err")"; finish; }
cp -r "$dir/runs/one/last" "$dir/adapters/sorts"
printf 'text,label\na,p\nb,q\nc,r\nd,s\ne,t\nf,u\ng,v\nh,w\n' >"$dir/eight.csv"
cat >"$dir/eight.yaml" <<END
recipe: 1
model: {path: model, max_length: 40}
data: {train: eight.csv, labels: {map: {p: p, q: q, r: r, s: s, t: t, u: u, v: v, w: w}}}
template: {prompt: '{text}:', completion: '{label}'}
train: {steps: 1, batch_size: 2, threads: 1}
output: {dir: adapters/eight}
END
(cd "$dir" && "$lorac" train eight.yaml >/dev/null 2>"$dir/err") || { fail "train eight: $(cat "$dir/err")"; finish; }
one=$dir/adapters/one/last
two=$dir/adapters/two/last
full=$dir/adapters/full/last
cat >"$model/chat_template.jinja" <<'END'
{%- for m in messages %}
    {{- '<s>' + m.role[0] + ':' + m.content + '</s>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<s>a:' }}{% endif %}
END
for name in one two; do # the same adapter, and a chat template of its own
    cp -r "$dir/adapters/$name/last" "$dir/adapters/own-$name"
    echo "{% for m in messages %}$name {{ m.role }} says {{ m.content }}</s>{% endfor %}{{ '$name:' if add_generation_prompt }}" \
        >"$dir/adapters/own-$name/chat_template.jinja"
done
mkdir "$dir/elsewhere" && cp -r "$one" "$dir/elsewhere/copy" && ln -s "$dir/elsewhere" "$dir/adapters/link"

want() { # want FILE WORDS...: what generate writes
    file=$1
    shift
    "$lorac" generate --model "$model" --raw --max-tokens 12 "$@" --json >"$dir/json" 2>/dev/null || fail "generate $*"
    sed -n 's/.*"text": "\(.*\)", "finish.*/\1/p' "$dir/json" >"$dir/$file"
    [ -s "$dir/$file" ] || { fail "nothing was generated:"; cat "$dir/json"; }
}
want base --prompt hello
want one --prompt hello --adapter "$one"
want two --prompt hello --adapter "$two"
want full --prompt hello --adapter "$full"
cmp -s "$dir/base" "$dir/one" && fail "the adapter changes nothing"
cmp -s "$dir/two" "$dir/one" && fail "the adapters are alike"
cmp -s "$dir/two" "$dir/full" && fail "the adapters are alike"

sed '1s/{/{"special_tokens_map_file": "\/secret\/map.json",/' "$model/tokenizer_config.json" >"$dir/config"
cp "$dir/config" "$model/tokenizer_config.json"
serve --adapter one="$one" --adapter full="$full" --adapter-root "$dir/adapters" --max-body-kib 64

# ---- answers ----
answers() { # answers MODEL [FIELDS]: as generate's
    post /v1/completions "{\"model\":\"$1\",\"prompt\":\"hello\",\"max_tokens\":12,\"temperature\":0${2-}}"
    status 200 '"object":"text_completion"' "\"model\":\"$1\""
}
same() { [ "$(text)" = "$(cat "$dir/$1")" ] || fail "$1 says '$(text)', expected '$(cat "$dir/$1")'"; }
answers base && same base
answers one && same one
answers full && same full
answers base ',"stream":true' && status 200 'data: [DONE]'
[ "$(joined)" = "$(cat "$dir/base")" ] || fail "a stream says '$(joined)', expected '$(cat "$dir/base")'"
[ "$(grep -c '^data: {' "$dir/answer")" -gt 4 ] || fail "a stream comes at once: $(cat "$dir/answer")"
chat='{"model":"base","messages":[{"role":"system","content":"be"},{"role":"user","content":[{"type":"text","text":"hel"},{"type":"text","text":"lo</s>"}]}],"max_tokens":12,"temperature":0'
"$lorac" generate --model "$model" --chat --system be --prompt 'hello</s>' --max-tokens 12 --json >"$dir/json" 2>/dev/null
sed -n 's/.*"text": "\(.*\)", "finish.*/\1/p' "$dir/json" >"$dir/chat"
post /v1/chat/completions "$chat}" && status 200 '"object":"chat.completion"'
[ "$(sed -n 's/.*"content":"\(.*\)","refusal".*/\1/p' "$dir/answer")" = "$(cat "$dir/chat")" ] ||
    fail "a chat: $(cat "$dir/answer"), expected $(cat "$dir/chat")"
post /v1/chat/completions "$chat,\"stream\":true,\"stream_options\":{\"include_usage\":true},\"logprobs\":true,\"top_logprobs\":2}"
status 200 '"delta":{"role":"assistant","content":""}' '"choices":[],"usage":{"prompt_tokens":' 'data: [DONE]' '"top_logprobs":[{"token":'
[ "$(sed -n 's/^data: .*"delta":{"content":"\(.*\)"},"logprobs".*/\1/p' "$dir/answer" | tr -d '\n')" = "$(cat "$dir/chat")" ] ||
    fail "a chat's stream: $(cat "$dir/answer"), expected $(cat "$dir/chat")"
post /v1/chat/completions '{"model":"base","messages":[{"role":"tool","content":"hi"}]}' && status 400 '"param":"messages"'
post /v1/chat/completions "$chat,\"tools\":[{\"type\":\"function\"}]}" && status 400 '"param":"tools"'
post /v1/chat/completions "$chat,\"top_logprobs\":2}" && status 400 '"param":"top_logprobs"'
post /v1/completions '{"model":"base","prompt":["hello",[256,104]],"max_tokens":3,"n":2,"seed":7,"temperature":1.5,"top_p":0.9,"top_k":50}'
status 200 '"index":3' '"prompt_tokens":8' '"completion_tokens":12'
cp "$dir/answer" "$dir/first"
post /v1/completions '{"model":"base","prompt":["hello",[256,104]],"max_tokens":3,"n":2,"seed":7,"temperature":1.5,"top_p":0.9,"top_k":50}'
sed -n 's/.*"choices"/"choices"/p' "$dir/first" >"$dir/a"
sed -n 's/.*"choices"/"choices"/p' "$dir/answer" >"$dir/b"
cmp -s "$dir/a" "$dir/b" || fail "a seed does not repeat: $(cat "$dir/a" "$dir/b")"
letter=$(LC_ALL=C tr -cd A-Z <"$dir/base" | cut -c 1) # no part of an escape
[ -n "$letter" ] || fail "no letter in $(cat "$dir/base")"
answers base ",\"stop\":[\"zz\",\"$letter\"]" && status 200 '"finish_reason":"stop"'
[ "$(text)" = "$(sed "s/$letter.*//" "$dir/base")" ] || fail "stopped at $letter: '$(text)', of $(cat "$dir/base")"

# ---- chats of adapters, by templates of their own ----
says='"messages":[{"role":"user","content":"hello"}],"max_tokens":12,"temperature":0'
for name in one two; do
    "$lorac" generate --model "$model" --adapter "$dir/adapters/own-$name" --chat --prompt hello --max-tokens 12 --json >"$dir/json" 2>/dev/null
    sed -n 's/.*"text": "\(.*\)", "finish.*/\1/p' "$dir/json" >"$dir/own-$name"
    [ -s "$dir/own-$name" ] || fail "nothing was generated: $(cat "$dir/json")"
    post /v1/load_lora_adapter "{\"lora_name\":\"own-$name\",\"lora_path\":\"own-$name\"}" && status 200
done
clients=
for i in 0 1 2 3 4 5 6 7; do
    case $((i % 4)) in 0) name=own-one ;; 1) name=own-two ;; 2) name=one ;; *) name=base ;; esac
    request /v1/chat/completions "{\"model\":\"$name\",$says}" | timeout 120 "$send" "$port" >"$dir/said.$i" &
    clients="$clients $!"
done
wait $clients
for i in 0 1 4 5; do
    case $((i % 4)) in 0) name=own-one ;; *) name=own-two ;; esac
    mv "$dir/said.$i" "$dir/answer"
    status 200 "\"model\":\"$name\""
    [ "$(sed -n 's/.*"content":"\(.*\)","refusal".*/\1/p' "$dir/answer")" = "$(cat "$dir/$name")" ] ||
        fail "$name says: $(cat "$dir/answer"), expected $(cat "$dir/$name")"
done
cmp -s "$dir/own-one" "$dir/own-two" && fail "the templates make no difference"
get /v1/models && status 200 '"id":"own-one","object":"model"' '"root":"own-two","chat_template":"own","parent":"base"' '"root":"base","chat_template":"base","parent":null' '"root":"one","chat_template":"base"'
get '/tokenizer_info?model=own-two' && status 200 'two {{ m.role }} says'
get /tokenizer_info && status 200 "'<s>a:'"
grep -qF secret "$dir/answer" && fail "tells paths: $(cat "$dir/answer")"
get '/tokenizer_info?model=nobody' && status 404
post /tokenize '{"model":"own-one","messages":[{"role":"user","content":"hi"}]}' && status 200 '"count":21,'
post /tokenize '{"messages":[{"role":"user","content":"hi"}]}' && status 200 '"count":9,'
echo '{% for %}' >"$dir/adapters/own-one/chat_template.jinja" # the one that is loaded stays as it was
post /v1/load_lora_adapter '{"lora_name":"broken","lora_path":"own-one"}' && status 200
post /v1/chat/completions "{\"model\":\"broken\",$says}" && status 400 'chat_template.jinja:1:'
grep -qF "$dir" "$dir/answer" && fail "tells where it is: $(cat "$dir/answer")"
answers broken && same one
get /v1/models && status 200 '"root":"broken","chat_template":null'
post /v1/chat/completions "{\"model\":\"own-one\",$says}" && status 200

# ---- labels ----
expect 0 generate --model "$model" --adapter "$dir/runs/one/last" --labels --prompt warm --json
post /v1/load_lora_adapter '{"lora_name":"sorts","lora_path":"sorts"}' && status 200
for input in '"warm"' '{"text":"warm"}'; do
    post /classify "{\"model\":\"sorts\",\"input\":$input}" && status 200 '"num_classes":2}],"labels":["' '"usage":{"prompt_tokens":8,'
    for label in good bad; do
        want=$(sed 's/.*"label": "'$label'", "probability": \([0-9.e-]*\).*/\1/' "$dir/out")
        at=$(sed 's/.*"labels":\[//; s/\].*//' "$dir/answer" | tail -n 1 | tr ',' '\n' | grep -n "\"$label\"" | cut -d: -f1)
        got=$(sed 's/.*"probs":\[//; s/\].*//' "$dir/answer" | tail -n 1 | cut -d, -f"$at")
        awk "BEGIN {d = $want - $got; exit !(d < 1e-5 && d > -1e-5)}" || fail "$label: $got, expected $want"
    done
done
rows() { # rows computed until now
    get /metrics
    sed -n 's/^lorac_step_rows_total //p' "$dir/answer"
}
before=$(rows)
post /classify "{\"model\":\"sorts\",\"input\":\"$(printf '%0100d' 0)\"}" && status 200 '"num_classes":2'
[ $(($(rows) - before)) -lt 150 ] || fail "a prompt of 100 tokens and two labels: $(($(rows) - before)) rows"
post /v1/load_lora_adapter '{"lora_name":"eight","lora_path":"eight/last"}' && status 200
before=$(rows)
post /classify '{"model":"eight","input":"not as long"}' && status 200 '"num_classes":8' '"usage":{"prompt_tokens":13,'
[ $(($(rows) - before)) = $((12 + 8 * 2)) ] || fail "a short prompt and eight labels: $(($(rows) - before)) rows"
post /classify '{"model":"sorts","input":{"txt":"warm"}}' && status 400 'input.text is missing'
post /classify '{"model":"sorts","input":{"text":"warm","more":"x"}}' && status 400 'has 2 texts'
post /classify '{"model":"sorts","input":["warm"]}' && status 400 '"param":"input"'
post /classify "{\"model\":\"sorts\",\"input\":\"$(printf '%03000d' 0)\"}" && status 400 context_length_exceeded
post /classify '{"model":"base","input":"warm"}' && status 400 no_labels

# ---- ratings ----
post /v1/completions '{"model":"base","prompt":[[256,104,101,108]],"max_tokens":1,"temperature":0,"logprobs":1,"echo":true,"seed":1234}'
status 200 '"token_logprobs":[null,' '"top_logprobs":[null,{'
sed -n 's/.*"token_logprobs":\[null,\([^]]*\)\].*/\1/p' "$dir/answer" | tr ',' '\n' >"$dir/rated"
[ "$(grep -c . "$dir/rated")" = 4 ] || fail "ratings of a prompt of 4 and a token: $(cat "$dir/rated")"
expect 0 score --model "$model" --ids 256,104,101,108 --json
nll=$(sed 's/.*"nll": \([0-9.]*\).*/\1/' "$dir/out")
head -n 3 "$dir/rated" | awk "{s += \$1} END {d = s + $nll; exit !(d < 1e-4 && d > -1e-4)}" ||
    fail "a prompt is rated $(cat "$dir/rated"), score says $nll"
grep -qF ":$(tail -n 1 "$dir/rated")}]" "$dir/answer" || fail "the greedy token is not the likeliest: $(cat "$dir/answer")"
before=$(rows) # of the prompt alone, behind whose last token nothing is read
post /v1/completions '{"model":"base","prompt":[[256,104,101,108]],"max_tokens":0,"logprobs":1,"echo":true}'
status 200 "\"token_logprobs\":[null,$(head -n 3 "$dir/rated" | paste -sd,)],"
[ $(($(rows) - before)) = 3 ] || fail "a prompt of 4 is rated in $(($(rows) - before)) rows"
post /v1/completions '{"model":"base","prompt":[[256]],"max_tokens":0,"logprobs":1,"echo":true}'
status 200 '"token_logprobs":[null],'

# ---- adapters come and go ----
load() { post /v1/load_lora_adapter "{\"lora_name\":\"$1\",\"lora_path\":\"$2\"${3-}}"; }
load two two/last && status 200 "Success: LoRA adapter 'two' added successfully."
answers two && same two
get /v1/models && status 200 '"id":"two"' '"parent":"base"'
get /v1/lora_adapters && status 200 '"id":"two"' '"rank":4' '"template":{'
load two one/last && status 409 lora_adapter_already_loaded
load two one/last ',"load_inplace":true' && status 200
answers two && same one
load two two/last ',"load_inplace":true' && status 200
answers two && same two
load ../x two/last && status 400 invalid_lora_name
load x nowhere && status 404 adapter_path_not_found
load there "$dir/adapters/two/last" && status 200 # from / on, but below the root
answers there && same two
post /v1/unload_lora_adapter '{"lora_name":"there"}' && status 200
for path in ../elsewhere/copy "$dir/elsewhere/copy" link/copy /etc . '' ; do
    load x "$path"
    grep -q '^HTTP/1.1 40[03] ' "$dir/answer" || fail "loads '$path': $(cat "$dir/answer")"
    grep -qF "$dir" "$dir/answer" && fail "tells where it is: $(cat "$dir/answer")"
done
load x one ',"extra":1' && status 400 extra
load x one ",\"$(printf 'é%.0s' $(seq 60))\":1" && status 400
iconv -f UTF-8 -t UTF-8 "$dir/answer" >/dev/null || fail "no UTF-8: $(cat "$dir/answer")"
load x one && status 422 invalid_lora_adapter
load base one/last && status 400

# ---- many at once, each as alone ----
i=0
while [ $i -lt 24 ]; do
    case $((i % 4)) in 0) name=base ;; 1) name=one ;; 2) name=two ;; *) name=full ;; esac
    request /v1/completions "{\"model\":\"$name\",\"prompt\":\"hello\",\"max_tokens\":12,\"temperature\":0}" |
        timeout 120 "$send" "$port" >"$dir/many.$i" &
    clients="${clients-} $!"
    i=$((i + 1))
done
wait $clients
i=0
while [ $i -lt 24 ]; do
    case $((i % 4)) in 0) name=base ;; 1) name=one ;; 2) name=two ;; *) name=full ;; esac
    mv "$dir/many.$i" "$dir/answer"
    status 200 && same $name
    i=$((i + 1))
done

post /v1/unload_lora_adapter '{"lora_name":"two"}' && status 200 "removed successfully"
post /v1/unload_lora_adapter '{"lora_name":"two"}' && status 404 lora_adapter_not_found
post /v1/completions '{"model":"two","prompt":"hello"}' && status 404 model_not_found '"param":"model"'

# ---- refused ----
refuse() { post /v1/completions "{\"model\":\"base\",\"prompt\":\"hi\",$1}" && status 400 '"error":{"message":' "\"param\":\"$2\""; }
refuse '"n":0' n
refuse '"n":1e300' n
refuse '"max_tokens":-1' max_tokens
refuse '"temperature":"hot"' temperature
refuse '"logit_bias":{"5":1}' logit_bias
refuse '"presence_penalty":0.5' presence_penalty
refuse '"response_format":{"type":"json_object"}' response_format
refuse '"logprobs":true' logprobs
refuse '"logprobs":999' logprobs
refuse '"stop":[1]' stop
refuse '"stream_options":{"include_usage":true}' stream_options
refuse '"prompt_logprobs":1' prompt_logprobs
refuse '"skip_special_tokens":false' skip_special_tokens
refuse '"documents":[{"text":"a"}]' documents
answers base ',"stop":null,"n":1.0,"user":"me","logit_bias":{},"presence_penalty":0' && same base
post /v1/completions '{"model":"base","prompt":[[99999]]}' && status 400
post /v1/completions '{"model":"base","prompt":[]}' && status 400
post /v1/completions "{\"model\":\"base\",\"prompt\":\"$(printf '%03000d' 0)\"}" && status 400 context_length_exceeded
post /v1/completions '{"model":"base","prompt":"\u0000\ud800"}' && status 400
post /v1/completions '{"model":"base","model":"one","prompt":"hi"}' && status 400 duplicate
post /v1/completions '{"model":' && status 400
post /v1/completions '[]' && status 400
post /v1/completions "$(printf '[%.0s' $(seq 3000))" && status 400
post /v1/completions "$(printf '{"model":"base","prompt":"\377"}')" && status 400
post /v1/embeddings '{"input":"hi"}' && status 501
post /nowhere '{}' && status 404
get /v1/completions && status 405 'Allow: POST'
get '/v1//models/' && status 200
raw 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}' && status 415
get /v1/models 'Host: evil.example\r\n' && status 400
raw 'GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n' && status 403 host_forbidden
get /v1/models 'Origin: http://evil.example\r\n' && status 403 origin_forbidden
get /v1/models 'Origin: http://localhost\r\n' && status 200

# ---- clients that are slow, broken, hostile ----
request /v1/completions '{"model":"base","prompt":"hello","max_tokens":12,"temperature":0}' |
    timeout 120 "$send" "$port" --slow 2 >"$dir/answer" && status 200 && same base
get /health "X: $(printf '%020000d' 0)\r\n" && status 431 '"error":{"message":'
get /health "X: $(printf '%0100000d' 0)\r\n" && status 431 # in libmicrohttpd's own words
post /v1/completions "$(printf '{"model":"base","prompt":"%070000d"}' 0)" && status 413 '"error":{"message":'
raw "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{" --leave
raw "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: -5\r\n\r\n{}"
raw '\000\001\377GARBAGE\r\n\r\n' --leave
raw 'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n'
i=0
while [ $i -lt 8 ]; do # they go while they are answered
    request /v1/completions '{"model":"one","prompt":"hello","max_tokens":4000,"temperature":1}' | "$send" "$port" --leave
    i=$((i + 1))
done
answers base && same base
for i in $(seq 50); do
    get /metrics
    grep -q '^lorac_num_requests_running 0' "$dir/answer" && break
    sleep 0.2
done
status 200 'lorac_num_requests_running 0' 'lorac_num_requests_waiting 0' 'lorac_time_to_first_token_seconds_bucket{le="+Inf"}'
get /health && status 200 '{"status":"ok"}'

# ---- SIGTERM ----
{
    printf 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'
    for i in $(seq 600); do
        [ -e "$dir/go" ] && break
        sleep 0.05
    done
    request /v1/completions '{"model":"one","prompt":"hello"}'
} | timeout 120 "$send" "$port" >"$dir/kept" & # a connection that is there before the end
kept=$!
request /v1/completions '{"model":"one","prompt":"hello","max_tokens":400,"n":64,"logprobs":0,"seed":1}' |
    timeout 120 "$send" "$port" >"$dir/long.answer" &
client=$!
for i in $(seq 200); do
    get /metrics
    grep -q '^lorac_num_requests_running 0' "$dir/answer" || break
done
kill -TERM "$server"
for i in $(seq 100); do
    grep -q 'ending; what runs' "$dir/log" && break
    sleep 0.05
done
sleep 0.2
touch "$dir/go"
wait $kept $client
mv "$dir/long.answer" "$dir/answer"
status 200 '"index":63'
grep -q 'HTTP/1.1 503 ' "$dir/kept" && grep -q '"code":"stopping"' "$dir/kept" || fail "while it ends: $(cat "$dir/kept")"
wait "$server" || fail "the server ended with $?"
serve --adapter one="$one"
long='{"model":"one","prompt":"hello","max_tokens":200,"temperature":0,"logprobs":0}'
post /v1/completions "$long" && status 200
text >"$dir/long"
request /v1/completions "$long" | timeout 120 "$send" "$port" >"$dir/later" &
client=$!
for i in $(seq 200); do # until it runs, or has run
    get /metrics
    grep -q '^lorac_num_requests_running 0' "$dir/answer" || break
    [ -s "$dir/later" ] && break
done
quit
wait $client
mv "$dir/later" "$dir/answer"
status 200 && same long

# ---- keys, queues, no chat template ----
rm "$model/chat_template.jinja"
printf 'first-key\nsecond-key\n' >"$dir/keys"
serve --api-key-file "$dir/keys" --adapter one="$one" --max-running 1 --max-waiting 8 --allow-origin https://page.example
get /v1/models && status 401 invalid_api_key
post /v1/chat/completions '{"model":"base","messages":[{"role":"user","content":"hi"}]}' 'Authorization: Bearer first-key\r\n' && status 400 'chat template'
grep -qF "$dir" "$dir/answer" && fail "tells where it is: $(cat "$dir/answer")"
get /nowhere && status 401
get /health && status 200
get /v1/models 'Authorization: Bearer first-kez\r\n' && status 401
get /v1/models 'Authorization: Bearer \r\n' && status 401
get /v1/models 'Authorization: Bearer second-key\r\n' && status 200
get /v1/models 'Authorization: Bearer first-key\r\nOrigin: https://page.example\r\n' && status 200 'Access-Control-Allow-Origin: https://page.example'
raw 'OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\nConnection: close\r\n\r\n' && status 204 Access-Control-Allow-Methods 'Access-Control-Allow-Headers: Authorization, *'
post /v1/completions '{"model":"base","prompt":"hello","n":9}' 'Authorization: Bearer first-key\r\n' && status 400 '--max-waiting'
request /v1/completions '{"model":"base","prompt":"hello","n":8,"max_tokens":400,"temperature":0,"logprobs":20}' 'Authorization: Bearer first-key\r\n' |
    timeout 120 "$send" "$port" >"$dir/eight" &
client=$!
for i in $(seq 100); do
    get /metrics 'Authorization: Bearer first-key\r\n'
    grep -q '^lorac_num_requests_waiting [1-9]' "$dir/answer" && break
done
post /v1/completions '{"model":"base","prompt":"hello","n":8}' 'Authorization: Bearer first-key\r\n' && status 429 queue_full 'Retry-After: 1'
wait $client
fair=
for attempt in 1 2 3; do # a crowd, and somebody with another adapter; a busy machine may end the crowd before it is looked at
    clients=
    for i in 1 2 3 4 5 6 7; do
        request /v1/completions '{"model":"base","prompt":"hello","max_tokens":400,"temperature":0,"logprobs":0}' 'Authorization: Bearer first-key\r\n' |
            timeout 120 "$send" "$port" >"$dir/crowd.$i" &
        clients="$clients $!"
    done
    for i in $(seq 100); do
        get /metrics 'Authorization: Bearer first-key\r\n'
        grep -q '^lorac_num_requests_waiting [3-9]' "$dir/answer" && break
    done
    grep -q '^lorac_num_requests_waiting [3-9]' "$dir/answer" || fair=unknown
    post /v1/completions '{"model":"one","prompt":"hello","max_tokens":1}' 'Authorization: Bearer first-key\r\n' && status 200
    get /metrics 'Authorization: Bearer first-key\r\n'
    grep -q '^lorac_num_requests_waiting 0' "$dir/answer" || fair=yes
    wait $clients
    [ -z "$fair" ] || break
done
[ -n "$fair" ] || fail "who is alone waits for the crowd"
post /v1/load_lora_adapter '{"lora_name":"x","lora_path":"one/last"}' 'Authorization: Bearer first-key\r\n' && status 403
quit

# ---- a tokenizer that puts nothing in front of a text ----
sed 's/"post_processor": .*, "decoder"/"post_processor": null, "decoder"/' "$model/tokenizer.json" >"$dir/bare.json"
mv "$dir/bare.json" "$model/tokenizer.json"
sed "s/{text} is/{text}/" "$dir/run.yaml" >"$dir/bare.yaml"
(cd "$dir" && "$lorac" train bare.yaml --set output.dir=runs/bare >/dev/null 2>"$dir/err") || fail "train: $(cat "$dir/err")"
serve --adapter bare="$dir/runs/bare/last"
post /classify '{"model":"bare","input":"warm"}' && status 200 '"prompt_tokens":4'
post /classify '{"model":"bare","input":""}' && status 400 'a prompt has no token'
quit

refused 2 "need a key" serve --model "$model" --host 0.0.0.0
refused 2 "must be NAME=DIR" serve --model "$model" --adapter "$one"
refused 1 "--max-length 100000: the model reads at most" serve --model "$model" --max-length 100000
refused 1 "--name: expected 1 to 128 bytes, found ''" serve --model "$model" --name ''
refused 1 "is no folder" serve --model "$model" --adapter-root "$dir/nowhere"
refused 1 "expected an address" serve --model "$model" --host nowhere --api-key-file "$dir/keys"
finish
