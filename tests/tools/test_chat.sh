#!/bin/sh
# Chats, from outside. What is promised:
#   - `generate --chat` and `next --chat` prompt through the model's chat template, as the prompt that it writes does,
#     with what --system says in front; special tokens in what is typed are text;
#   - `score --chat` scores the answers of a conversation, end of the turn included;
#   - `chat` answers each line behind the whole conversation, with the base or an adapter, compares the two, forgets and
#     saves; a line that cannot be obeyed ends a script with the reason;
#   - what has no effect, and a model without a template, is refused.
# usage: test_chat.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

refused 1 "brings no chat template" generate --model "$model" --chat --prompt a
cat >"$model/chat_template.jinja" <<'END'
{%- for m in messages %}
    {{- '<s>' + m.role[0] + ':' + m.content + '</s>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<s>a:' }}{% endif %}
END

same() { # same TEXT WORDS...: generate says what it says behind the prompt TEXT
    "$lorac" generate --model "$model" --raw --prompt "$1" --max-tokens 9 >"$dir/want" 2>/dev/null || fail "generate $1"
    shift
    expect 0 generate --model "$model" --chat --max-tokens 9 "$@"
    cmp -s "$dir/want" "$dir/out" || fail "generate --chat $*: $(cat "$dir/out"), expected $(cat "$dir/want")"
}
same '<s>u:hello</s><s>a:' --prompt hello
same '<s>s:be</s><s>u:hello</s><s>a:' --prompt hello --system be
[ -s "$dir/want" ] || fail "nothing was generated"
expect 0 generate --model "$model" --chat --prompt '</s>' --json --max-tokens 1
grep -q '"prompt_tokens": 11,' "$dir/out" || fail "</s> that is typed: $(cat "$dir/out")" # <s>u: 4 </s> <s>a:

expect 0 next --model "$model" --chat --prompt hello --json
cp "$dir/out" "$dir/want"
expect 0 next --model "$model" --prompt '<s>u:hello</s><s>a:' --json
cmp -s "$dir/want" "$dir/out" || fail "next --chat: $(cat "$dir/want"), expected $(cat "$dir/out")"

echo '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "bc"}]' >"$dir/chat.json"
expect 0 score --model "$model" --chat "$dir/chat.json" --json
grep -q '"tokens": 3,' "$dir/out" || fail "score --chat: $(cat "$dir/out")"
whole=$(sed 's/.*"nll": \([0-9.]*\).*/\1/' "$dir/out")
expect 0 score --model "$model" --ids 256,117,58,97,257,256,97,58,98,99,257 --json
all=$(sed 's/.*"nll": \([0-9.]*\).*/\1/' "$dir/out")
expect 0 score --model "$model" --ids 256,117,58,97,257,256,97,58 --json
front=$(sed 's/.*"nll": \([0-9.]*\).*/\1/' "$dir/out")
awk "BEGIN {d = $all - $front - $whole; exit !(d < 1e-4 && d > -1e-4)}" || fail "score: $whole, expected $all - $front"
expect 0 score --model "$model" --chat "$dir/chat.json"
grep -q 'tokens       3   (of the answers; 11 in all)' "$dir/out" || fail "score --chat: $(cat "$dir/out")"

# ---- a session ----
printf 'text,label\nwarm,good\nflat,bad\nmild,good\ncold,bad\n' >"$dir/train.csv"
cat >"$dir/one.yaml" <<'END'
recipe: 1
model: {path: model, max_length: 40}
adapter: {rank: 4, alpha: 8}
data: {train: train.csv}
template: {completion: 'So {text} is {label}'}
train: {steps: 6, batch_size: 2, threads: 1}
optimizer: {lr: 0.05}
output: {dir: runs/one}
END
"$lorac" train "$dir/one.yaml" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
one=$dir/runs/one/last

chat() { # chat WORDS... <LINES
    "$lorac" chat --model "$model" --max-tokens 6 --temperature 1.5 --seed 3 "$@" >"$dir/out" 2>"$dir/err"
}
# said PROMPT WORDS...: what generate says behind it
said() {
    text=$1
    shift
    "$lorac" generate --model "$model" --raw --prompt "$text" --max-tokens 6 --temperature 1.5 --seed 3 "$@"
}
first=$(said '<s>s:be</s><s>u:ab</s><s>a:')
second=$(said "<s>s:be</s><s>u:ab</s><s>a:$first</s><s>u:cd</s><s>a:")
other=$(said '<s>s:be</s><s>u:ef</s><s>a:')
adapted=$(said '<s>s:be</s><s>u:ef</s><s>a:' --adapter "$one")
[ -n "$first" ] && [ "$first" != "$second" ] && [ "$other" != "$adapted" ] || fail "all answers are alike"
printf 'ab\ncd\n/undo\n/save %s\n/undo\nef\n/clear\n/adapter %s\n/compare ef\n/quit\nx\n' "$dir/said.json" "$one" |
    chat --system be || fail "chat: $(cat "$dir/err")"
sed 's/, [a-z]* in [0-9.]* ms;/;/' "$dir/out" >"$dir/seen"
cat >"$dir/want" <<END
> ab
$first
> cd
$second
> /undo
[2 messages left]
> /save $dir/said.json
[3 messages in $dir/said.json]
> /undo
[0 messages left]
> ef
$other
> /clear
> /adapter $one
[$one answers; the base stays loaded]
> /compare ef
[the base]
$other
[$one]
$adapted
> /quit
END
cmp -s "$dir/want" "$dir/seen" || fail "chat: $(diff -a "$dir/want" "$dir/seen")"
expect 0 score --model "$model" --chat "$dir/said.json" --json
printf '//a\n' | chat --json || fail "chat --json: $(cat "$dir/err")"
grep -q '"adapter": "the base", "user": "/a", "text": ' "$dir/out" || fail "chat --json: $(cat "$dir/out")"
for line in '/compare a:name an adapter first' '/undo:nothing was said yet' '/nothing:is no command' \
            '/temperature hot:expected a number' '/next:say something first' '/save:where to?'; do
    printf '%s\nab\n' "${line%%:*}" | chat && fail "chat: ${line%%:*} must end the script"
    grep -q "${line#*:}" "$dir/err" || fail "chat: no '${line#*:}' in: $(cat "$dir/err")"
done

refused 1 "needs --chat" generate --model "$model" --system a --prompt b
refused 1 "not with --chat" generate --model "$model" --chat --field a=b --prompt b
refused 2 "one of --text FILE, --chat FILE and --ids LIST" score --model "$model" --chat "$dir/chat.json" --ids 1,2
echo '[{"role": "user", "content": "a"}]' >"$dir/chat.json"
refused 1 "without an answer of the assistant" score --model "$model" --chat "$dir/chat.json"
finish
