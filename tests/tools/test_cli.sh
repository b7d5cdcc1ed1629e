#!/bin/sh
# The program lorac, from outside. What is promised:
#   - exit codes: 0 success, 1 failed, 2 wrong usage; errors are one line on stderr and nothing on stdout;
#   - --help of every verb, which fits 80 columns, --version, a recipe template that is a valid recipe once filled in;
#   - --json prints one object on one line;
#   - a tokenizer is learned from text and used;
#   - train, eval, predict, generate, score, tokenize, merge, inspect work together on a small model; a
#     merged checkpoint has the logits of base and adapter.
# usage: test_cli.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

a_run 2

# ---- usage ----
"$lorac" >"$dir/out" 2>"$dir/err"
[ $? = 2 ] || fail "without a verb: not 2"
expect 0 --help
has out "usage: lorac VERB" "exit codes: 0 success, 1 failed, 2 wrong usage"
verbs="plan train eval predict generate score merge inspect tokenize tokenizer recipe diff init next compare
prompt report"
for verb in $verbs; do has out "  $verb "; done
fits() { ! grep '.\{81\}' "$dir/out" || fail "$1: over 80 columns"; }
fits --help
expect 0 --version
has out "lorac "

for verb in $verbs; do
    expect 0 $verb --help
    has out "usage: lorac $verb" "--help"
    fits "$verb --help"
    refused 2 "unknown option --frobnicate" $verb --frobnicate
done
refused 2 "recipe schema takes no --set" recipe schema --set a=b
refused 2 "recipe check takes no --model" recipe check "$dir/run.yaml" --model foo
refused 1 "',,2': an id is missing between two commas" tokenize --model "$model" --decode 1,,2
refused 1 "--context 99999: the model reads at most" score --model "$model" --ids 1,2 --context 99999
refused 2 "there is no verb 'trian' (did you mean 'train'?)" trian
refused 2 "there is no verb 'frobnicate'; lorac --help" frobnicate
refused 2 "unknown option --sett (did you mean '--set'?)" train a --sett b=1
refused 2 "unknown option --modle (did you mean '--model'?)" score --modle=a
refused 2 "something is missing" train
refused 2 "one word too many" train a b
refused 2 "--model DIR is missing" score --ids 1,2
refused 2 "--model is given twice" score --model a --model b --ids 1,2
refused 2 "--json takes no value" score --model a --ids 1,2 --json=yes
refused 2 "--model needs a value" score --ids 1,2 --model
refused 2 "one of --text FILE, --chat FILE and --ids LIST" score --model "$model"
refused 2 "--resume and --overwrite exclude each other" train "$dir/run.yaml" --resume --overwrite
refused 2 "--split must be train, valid or test" eval "$dir/run.yaml" --split dev
refused 2 "--temperature must be a number from 0 to 100" generate --model "$model" --prompt a \
    --temperature hot
for threads in -1 1.5 4097 4294967297; do
    refused 2 "--threads must be a whole number from 0 to 4096, found '$threads'" score --model "$model" \
        --ids 1,2 --threads "$threads"
done
refused 2 "--compute must be float32, bfloat16, int8 or auto, found 'half'" score --model "$model" --ids 1,2 \
    --compute half
expect 0 score --model "$model" --ids 1,2 --compute auto
refused 2 "--context must be a whole number, 0 or more, found '-1'" score --model "$model" --ids 1,2 \
    --context -1
expect 0 score --model "$model" --ids 1,2 --threads 0
refused 2 "--max-tokens must be at least 1" generate --model "$model" --prompt a --max-tokens 0
refused 2 "--base and --adapter exclude each other" eval "$dir/run.yaml" --base --adapter x
refused 2 "--base and --adapter exclude each other" predict "$dir" --base --adapter x --in a --out b
refused 1 "is the table to read (--in)" predict "$dir/run.yaml" --in "$dir/train.csv" \
    --out "$dir/train.csv"
refused 2 "--dtype must be float32 or float16 or bfloat16, found 'f16'" merge --model "$model" --adapter x \
    --out y --dtype f16
refused 2 "--rows is for --verify" merge --model "$model" --adapter x --out y --rows z
refused 2 "--text and --rows exclude" merge --model "$model" --adapter x --out y --verify --rows z --text z
refused 2 "--text is for --verify" merge --model "$model" --adapter x --out y --text z
refused 2 "recipe takes explain" recipe frobnicate
refused 2 "--stop needs a text" generate --model "$model" --prompt a --stop ''

# ---- failures ----
refused 1 "the scale must be finite" score --model "$model" --ids 1,2 --adapter x:nan
if [ -w /dev/full ]; then
    "$lorac" recipe schema >/dev/full 2>"$dir/err" && fail "a full disk is no failure"
    grep -q "cannot write to standard output" "$dir/err" || fail "nothing said of a full disk"
fi
refused 1 "no/such/recipe.yaml" train no/such/recipe.yaml
refused 1 "--model no/such/model: is no folder" score --model no/such/model --ids 1,2
refused 1 "model.path: $dir/none: is no folder" train "$dir/run.yaml" --set "model.path=$dir/none"
refused 1 "'x' is no token id" score --model "$model" --ids 1,x
refused 1 "at least two are needed" score --model "$model" --ids 1
refused 1 "token id 260 is outside the model's vocabulary of 260" score --model "$model" --ids 1,260
refused 2 "merge needs at least one --adapter" merge --model "$model" --out "$dir/none"
refused 1 "is no run (it holds no recipe.resolved.yaml)" eval "$dir"
refused 1 "unknown key" train "$dir/run.yaml" --set train.epoch=1
refused 1 "--field needs an adapter with a template" generate --model "$model" --prompt a --field x=y

# a row that the model cannot read, before the first step and whoever asks
awk 'BEGIN { print "text,label"; for (i = 0; i < 8; i++) { s = i; while (length(s) < 600) { s = s " it" }
             print s "," (i % 2 ? "good" : "bad") } }' >"$dir/long.csv"
for verb in train eval; do
    expect 1 $verb "$dir/run.yaml" --set "data.train=$dir/long.csv" \
        --set model.max_length=2000 \
        --set "output.dir=$dir/long"
    grep -qE 'model.max_length: 2000, and the longest row of data.(train|valid) has 6[0-9]{2} tokens' \
        "$dir/err" || { fail "$verb of long rows:"; cat "$dir/err"; }
    grep -qF "reads at most 512; expected 512 or less" "$dir/err" || fail "$verb names no limit"
done
expect 1 train "$dir/run.yaml" --set 'data.valid={split: 0.001}'
grep -qF "lorac: data.valid: $dir/train.csv: split: 0.001 of 12 rows leaves a side empty" "$dir/err" ||
    { fail "an empty side has no place:"; cat "$dir/err"; }
# what is named and not used
expect 0 train "$dir/run.yaml" --set "output.dir=$dir/unused" --set template.prompt=so \
    --set 'data.columns={text: text, label: label}' --set train.epochs=1
grep -qF "note: the template does not use {text} (data.columns)" "$dir/err" ||
    fail "an unused column passes without a word"
grep -qF "note: template.prompt holds no variable" "$dir/err" || fail "one prompt for all rows"
# all errors of a recipe, in its order
printf 'recipe: 1\nmodle: {path: x}\ndata:\n  trian: a.csv\nseed: x\n' >"$dir/wrong.yaml"
expect 1 recipe check "$dir/wrong.yaml"
sed -n "s|lorac: $dir/wrong.yaml:\([0-9]*\):.*|\1|p" "$dir/err" | tr '\n' ' ' | grep -qx '2 4 5 ' ||
    { fail "errors out of order:"; cat "$dir/err"; }

# ---- recipes ----
expect 0 recipe explain adapter.rank
has out "adapter.rank"
expect 0 recipe explain
has out "optimizer.lr" "output.dir"
refused 1 "did you mean 'rank'" recipe explain adapter.rnak
expect 0 recipe schema
has out '"$schema"'
expect 0 recipe check "$dir/run.yaml"
has out "recipe: 1"
cp "$dir/out" "$dir/resolved.yaml"
expect 0 recipe check "$dir/resolved.yaml"
cmp -s "$dir/out" "$dir/resolved.yaml" || fail "a resolved recipe does not resolve to itself"
expect 0 recipe template
has out "optimizer:" "lr:"

# ---- tokens ----
expect 0 tokenize --model "$model" hi
[ "$(cat "$dir/out")" = "256 104 105" ] || { fail "tokenize:"; cat "$dir/out"; }
expect 0 tokenize --model "$model" --bare --json 'a "b"\'
json ids tokens
has out '"ids": [97, 32, 34, 98, 34, 92]'
expect 0 tokenize --model "$model" --decode --skip-special "256 104 105"
[ "$(cat "$dir/out")" = "hi" ] || fail "decode"
printf 'from a pipe' | "$lorac" tokenize --model "$model" --bare - >"$dir/out" || fail "tokenize -"
has out "102 114 111 109 32 97 32 112 105 112 101"

# ---- tokenizer train ----
printf 'the mill, the river<|end|>the mill' >"$dir/mill.txt"
expect 0 tokenizer train --out "$dir/tok" --vocab-size 262 --eos '<|end|>' "$dir/mill.txt"
has out "$dir/tok: 262 entries, 5 merges, learned in" "in 2 documents (7 pieces, 5 distinct)"
expect 0 tokenize --model "$dir/tok" 'the mill<|end|>'
has out "258 261 76 0" # the, space mil, l
refused 1 "$dir/tok: exists and is not an empty folder" tokenizer train --out "$dir/tok" \
    --vocab-size 262 "$dir/mill.txt"
refused 1 "fills 263 of 300 entries: no pair is left that occurs 2 times" tokenizer train \
    --out "$dir/tok2" --vocab-size 300 --special '<|end|>' "$dir/mill.txt"
[ -e "$dir/tok2" ] && fail "a tokenizer that failed is there"
expect 0 tokenizer train --out "$dir/tok2" --vocab-size 300 --min-frequency 1 --allow-fewer \
    --separator ', ' --pattern '\w+|\s' --special '<|end|>' --bos '<a>' --pad '<b>' \
    --max-length 64 --json "$dir/mill.txt" "$dir/mill.txt"
json tokenizer entries merges bytes documents pieces distinct tokens seconds
has out '"documents": 6'
grep -qF '"pad_token": "<b>"' "$dir/tok2/tokenizer_config.json" || fail "no padding token"
refused 2 "tokenizer takes train FILE..." tokenizer learn --out "$dir/a" --vocab-size 300 x
refused 2 "tokenizer takes train FILE..." tokenizer train --out "$dir/a" --vocab-size 300
refused 2 "--vocab-size N is missing" tokenizer train --out "$dir/a" x
refused 2 "--vocab-size must be a whole number" tokenizer train --out "$dir/a" --vocab-size many x
refused 1 "missing closing parenthesis" tokenizer train --out "$dir/a" --vocab-size 300 \
    --pattern '(a' "$dir/mill.txt"

# ---- train ----
expect 0 train "$dir/run.yaml" --json
json end steps seconds peak_bytes best_step best_by loss accuracy
has err "  best     by accuracy (eval.best: auto)" "best by accuracy at step "
has out '"end": "finished"' '"steps": 6'
grep -qF "note: 6 steps are few to learn from" "$dir/err" || fail "six steps are not called few"
for file in recipe.resolved.yaml run.json metrics.csv state/state.safetensors \
    best/adapter_config.json best/adapter_model.safetensors last/adapter_model.safetensors; do
    [ -s "$dir/runs/one/$file" ] || fail "train left no $file"
done
grep -qF '"status": "finished"' "$dir/runs/one/run.json" || fail "run.json is not finished"
refused 1 "holds a run already" train "$dir/run.yaml"
expect 0 train "$dir/run.yaml" --resume
grep -qF "nothing to do: this run had ended already, after 6 steps" "$dir/err" ||
    fail "a finished run is not called finished"
expect 0 train "$dir/run.yaml" --overwrite --set train.epochs=4
grep -qF 'epochs: 4' "$dir/runs/one/recipe.resolved.yaml" || fail "--set is not in the run's recipe"
[ -s "$dir/out" ] && fail "train prints on stdout without --json"
adapter=$dir/runs/one/best

# LORAC_BACKEND names what computes, and the run says so
LORAC_BACKEND=ref
export LORAC_BACKEND
expect 0 train "$dir/run.yaml" --set output.dir="$dir/runs/ref" --set train.epochs=1
has runs/ref/run.json '"backend": "ref"'
LORAC_BACKEND=gpu
refused 1 "LORAC_BACKEND: this build has no backend 'gpu' (it has" plan "$dir/run.yaml"
unset LORAC_BACKEND

# where the time went: a table of 80 columns whose last row is the steps, or a list of operations
expect 0 train "$dir/run.yaml" --set output.dir="$dir/runs/seen" --profile
has out "self_attn.q_proj" "attention" "adapters" "optimiser" "ceiling" "A step took"
grep -q "^all  *6 " "$dir/out" || fail "--profile does not count the steps"
awk 'length > 80' "$dir/out" | grep -q . && fail "--profile writes more than 80 columns"
expect 0 train "$dir/run.yaml" --set output.dir="$dir/runs/seen" --overwrite --profile --json
json end profile
has out '"operation": "mlp.down_proj"' '"alone_seconds": '

# a run whose process is gone is interrupted, one that another process holds is running
sed -i.end 's/"status": "finished"/"status": "running"/' "$dir/runs/one/run.json"
expect 0 inspect "$dir/runs/one" --json
has out '"status": "interrupted"' '"best_step"'
if command -v flock >/dev/null; then
    flock "$dir/runs/one/lock" "$lorac" inspect "$dir/runs/one" >"$dir/out" || fail "inspect of a run at work"
    has out '"status": "running"'
fi
mv "$dir/runs/one/run.json.end" "$dir/runs/one/run.json"
expect 0 inspect "$dir/runs/one"
has out '"status": "finished"' "---- run.json" "---- recipe.resolved.yaml"

# ---- eval, predict ----
expect 0 eval "$dir/run.yaml" --split test --json
json split model rows tokens loss perplexity accuracy macro_f1 labels
base=$(value loss)
expect 0 eval "$dir/runs/one" --split test
has out "applied      28 tensors on 14 modules, 0 in full; none unused, none missing"
expect 0 eval "$dir/runs/one" --split test --json
json adapter
trained=$(value loss)
awk "BEGIN { exit !($trained < $base) }" || fail "training did not lower the loss: $base, $trained"
expect 0 eval "$dir/runs/one" --base --split test --json
[ "$(value loss)" = "$base" ] || fail "--base is not the base"
expect 0 eval "$dir/runs/one"
has out "loss " "accuracy "
expect 0 predict "$dir/runs/one" --in "$dir/train.csv" --out "$dir/answers.csv" --json
json rows out
has out '"rows": 12'
[ "$(head -1 "$dir/answers.csv")" = "text,label,prediction,probability" ] || fail "predict's header"
grep -qE '^"so, 1 warm",good,(good|bad),[01]\.[0-9]+$' "$dir/answers.csv" || fail "predict's rows"

cp "$dir/answers.csv" "$dir/answers.old"
refused 1 "answers.csv: is there already" predict "$dir/runs/one" --in "$dir/train.csv" \
    --out "$dir/answers.csv"
cmp -s "$dir/answers.csv" "$dir/answers.old" || fail "predict changed a file that it refused"
expect 0 predict "$dir/runs/one" --in "$dir/train.csv" --out "$dir/answers.csv" --overwrite
refused 1 "template.prompt holds no variable: every row of" predict "$dir/runs/one" \
    --in "$dir/train.csv" --out "$dir/new.csv" --set template.prompt=so --force
refused 1 "long.csv: line 2: a prompt of 6" predict "$dir/runs/one" --in "$dir/long.csv" \
    --out "$dir/new.csv" --set model.max_length=5000
grep -qF "expected model.max_length 512 or less, found 5000" "$dir/err" || fail "no way out is named"

for verb in eval predict; do
    more=
    [ $verb = predict ] && more="--in $dir/train.csv --out $dir/new.csv"
    # shellcheck disable=SC2086
    refused 1 "best: was trained with the label 'bad', which neither the recipe nor its training table has" \
        $verb "$dir/runs/one" --set "data.labels.map={good: good}" --set data.labels.unknown=skip $more
    # shellcheck disable=SC2086
    refused 1 "best: was not trained with the label 'poor' (of the recipe or its training table); use" \
        $verb "$dir/runs/one" --set "data.labels.map={good: good, bad: poor}" $more
    refused 1 "best: was trained with template.prompt \"{text} is\", the recipe has \"{text}\\nIt is\"; use" \
        $verb "$dir/run.yaml" --adapter "$adapter" --set 'template.prompt="{text}\nIt is"' $more
    refused 1 "template.append_eos \"true\", the recipe has \"false\"" \
        $verb "$dir/runs/one" --set template.append_eos=false $more
    expect 0 $verb "$dir/runs/one" --set template.append_eos=false --force $more
done

# ---- more threads than processors ----
expect 0 train "$dir/run.yaml" --set output.dir="$dir/runs/many" --set train.threads=512 --set train.epochs=1
has err "note: train.threads: 512 threads on "

# ---- a run that a signal stops ----
long="--set train.epochs=1000000 --set output.dir=$dir/runs/stopped"
for signal in HUP:129 INT:130 TERM:143; do
    code=${signal#*:}
    rm -rf "$dir/runs/stopped" "$dir/err"
    # shellcheck disable=SC2086
    "$lorac" train "$dir/run.yaml" $long --set "name=it is" >"$dir/out" 2>"$dir/err" &
    n=0
    until grep -qs '^step 1/' "$dir/err" || [ $n = 600 ]; do n=$((n + 1)) && sleep 0.1; done
    kill "-${signal%:*}" $!
    wait $!
    got=$?
    [ $got = $code ] || fail "a signal stopped a run: exit code $got, expected $code"
    grep -qxF "  lorac train $dir/run.yaml --set train.epochs=1000000 --set output.dir=$dir/runs/stopped --set 'name=it is' --resume" \
        "$dir/err" || fail "how to go on: $(tail -n 1 "$dir/err")"
done
rm -rf "$dir/runs/stopped" "$dir/err" # nohup: the terminal may go
# shellcheck disable=SC2086
(trap '' HUP && exec "$lorac" train "$dir/run.yaml" $long) >"$dir/out" 2>"$dir/err" &
n=0
until grep -qs '^step 1/' "$dir/err" || [ $n = 600 ]; do n=$((n + 1)) && sleep 0.1; done
kill -HUP $! && sleep 0.3 && kill -TERM $! || fail "a run that ignored SIGHUP is gone"
wait $!
got=$?
[ $got = 143 ] || fail "a run that ignored SIGHUP: exit code $got, expected 143"
mv "$dir/runs/one/state" "$dir/state"
refused 1 "is missing, but the run is 'finished' by" train "$dir/runs/one/recipe.resolved.yaml" --resume
mv "$dir/state" "$dir/runs/one/state"

# ---- what is told before and beside ----
expect 0 plan "$dir/run.yaml" --set "data.labels.map={good: good, bad: bad, never: never}"
has out "no training row has the label 'never' (data.labels.map)"
printf 'text,label\nso \033[31m red,good\nso flat,bad\n' >"$dir/red.csv"
expect 0 plan "$dir/run.yaml" --set data.train="$dir/red.csv" --set data.valid=null --set "data.labels.map={good: good, bad: bad}"
has out '|\x1b|'
expect 0 eval "$dir/run.yaml" --split test --set 'template.completion=" {text}"'
has err "note: free text: there are no labels to choose from"
shape="--hidden-size 16 --num-hidden-layers 1 --num-attention-heads 2 --intermediate-size 16"
for arch in llama qwen2; do
    # shellcheck disable=SC2086
    expect 0 init --out "$dir/$arch" --arch $arch --tokenizer "$model" $shape
    [ "$(grep -c "note: transformers takes Qwen2's own normalizer" "$dir/err")" = $([ $arch = qwen2 ] && echo 1 || echo 0) ] ||
        fail "$arch: what transformers makes of its tokenizer"
done

# ---- rows that no label fits, and prompts that are cut ----
{ cat "$dir/train.csv"; echo "so 7 odd,strange"; } >"$dir/odd.csv"
expect 0 eval "$dir/runs/one" --split test --set data.test="$dir/odd.csv"
has out "(of 2 labels; always 'good' would be 0.4615; 1 row has none of them and counts as wrong)"
expect 0 eval "$dir/runs/one" --split test --set model.max_length=12
has err "12 with a shortened prompt"
expect 0 predict "$dir/runs/one" --in "$dir/train.csv" --out "$dir/cut.csv" --set model.max_length=12
has err "with a prompt that model.max_length cut short"

# ---- the same base with another tokenizer ----
cp -r "$model" "$dir/swapped"
sed 's/"a": *97/"a": 98/; s/"b": *98/"b": 97/' "$model/tokenizer.json" >"$dir/swapped/tokenizer.json"
refused 1 "best: was trained with another tokenizer: it names " \
    generate --model "$dir/swapped" --adapter "$adapter" --prompt it
refused 1 "best: was trained with another tokenizer: it names " eval "$dir/runs/one" --set model.path="$dir/swapped"
expect 0 generate --model "$dir/swapped" --adapter "$adapter" --prompt it --max-tokens 2 --force

# ---- an adapter that changes nothing ----
cp -r "$adapter" "$dir/zero"
file=$dir/zero/adapter_model.safetensors
head=$((8 + $(od -An -tu8 -N8 "$file")))
head -c $(($(wc -c <"$file") - head)) /dev/zero | dd of="$file" bs=1 seek=$head conv=notrunc 2>/dev/null
refused 1 "zero: every B is zero: the adapter changes nothing (--force takes" \
    generate --model "$model" --adapter "$dir/zero" --prompt it
refused 1 "zero: every B is zero" merge --model "$model" --adapter "$dir/zero" --out "$dir/zeromerged"
refused 1 "zero: every B is zero" eval "$dir/runs/one" --adapter "$dir/zero"
expect 0 generate --model "$model" --adapter "$dir/zero" --prompt it --max-tokens 2 --force

# ---- generate ----
expect 0 generate --model "$model" --prompt 'it' --max-tokens 5 --json
json ids text finish prompt_tokens tokens seconds
[ "$(value finish)" = '"length"' ] || [ "$(value finish)" = '"end"' ] || fail "finish: $(value finish)"
for seed in 1 1 2; do
    expect 0 generate --model "$model" --prompt 'it' --max-tokens 30 --temperature 1 --seed $seed --json
    value tokens >>"$dir/tokens"
    sed 's/, "seconds.*//' "$dir/out" >"$dir/text$seed$(ls "$dir" | grep -c "^text$seed")"
done
cmp -s "$dir/text10" "$dir/text11" || fail "one seed gives two texts"
cmp -s "$dir/text10" "$dir/text20" && fail "two seeds give one text"
expect 0 generate --model "$model" --adapter "$adapter" --prompt 'so 1 warm' --max-tokens 6 --json
templated=$(value prompt_tokens)
expect 0 generate --model "$model" --adapter "$adapter" --prompt 'so 1 warm is' --raw --max-tokens 6 --json
[ "$(value prompt_tokens)" = "$templated" ] || fail "the adapter's template was not used"
refused 1 "--field txt=a: the adapter's template has no such variable" generate --model "$model" \
    --adapter "$adapter" --prompt a --field txt=a
refused 2 "--set must be KEY=VALUE, found 'seed'" train "$dir/run.yaml" --set seed
refused 2 "--set must be KEY=VALUE, found '=1'" train "$dir/run.yaml" --set =1
refused 2 "--field must be NAME=VALUE, found 'text'" generate --model "$model" --adapter "$adapter" \
    --prompt a --field text
refused 1 "leaves no place for --prompt: --field fills all" generate --model "$model" \
    --adapter "$adapter" --prompt a --field text=a
expect 0 generate --model "$model" --adapter "$adapter" --prompt '' --field 'text=so 1 warm' \
    --max-tokens 6 --json
[ "$(value prompt_tokens)" = "$templated" ] || fail "--field does not fill the template"
refused 1 "is given twice" generate --model "$model" --adapter "$adapter" --prompt '' --field text=b \
    --field text=c
expect 0 train "$dir/run.yaml" --set train.epochs=1 --set output.dir="$dir/runs/kept" --set output.keep='[last]'
grep -qF "the adapter is in $dir/runs/kept/last" "$dir/err" || fail "train names a folder it did not keep"
# what only training reads is told where it is set for something else
expect 0 eval "$dir/runs/one" --split test --set optimizer.lr=1 --unset output.merge --set train.threads=1
has err "note: --set optimizer.lr has no effect on eval: only training reads it" \
    "note: --unset output.merge has no effect"
[ "$(grep -c "^note: --set" "$dir/err")" = 1 ] || fail "not told once, and of what has no effect: $(cat "$dir/err")"
# a run that has moved goes on by its folder, or ends there
cp -r "$dir/runs/one" "$dir/runs/moved one"
expect 0 train "$dir/runs/moved one" --resume
has err "nothing to do: this run had ended already" "into $dir/runs/moved one" \
    "lorac eval '$dir/runs/moved one' --split test" "lorac train '$dir/runs/moved one'"
expect 1 train "$dir/runs/moved one" --resume --set train.epochs=9
has err "--set 'adapter.from=\"$dir/runs/moved one/last\"' --set 'output.dir=\"$dir/runs/moved one-more\"'"
eval "expect 0 train '$dir/runs/moved one' --set train.epochs=1 $(sed -n "s/.*this one's adapter: //p" "$dir/err")"
[ -s "$dir/runs/moved one-more/last/adapter_model.safetensors" ] || fail "the advised command trains nothing"
refused 1 "runs: is no run (it holds no recipe.resolved.yaml)" train "$dir/runs" --resume
# best/ that should be there is not last/ in disguise
rm -r "$dir/runs/moved one/best"
refused 1 "moved one/best: is missing, and run.json tells of the best adapter, of step " eval "$dir/runs/moved one"
refused 1 "or choose another with --adapter '$dir/runs/moved one/last'" predict "$dir/runs/moved one" \
    --in "$dir/train.csv" --out "$dir/none.csv"
refused 1 "moved one/best: is missing: this run saved its best adapter there, of step " \
    train "$dir/runs/moved one" --resume
expect 0 eval "$dir/runs/moved one" --adapter "$dir/runs/moved one/last"
# a save that was cut short is not the last one in disguise
mv "$dir/runs/one/best" "$dir/runs/one/best.old"
refused 1 "left best.old; lorac train --resume puts it right" eval "$dir/runs/one"
mv "$dir/runs/one/best.old" "$dir/runs/one/best"
# an adapter of free text has no prompt of its own: TEXT begins the text
expect 0 train "$dir/run.yaml" --unset data.valid --unset template.prompt \
    --set 'template.completion="{text}"' --set "output.dir=$dir/free" --set train.epochs=1
grep -qF "lorac eval $dir/free --split test" "$dir/err" || fail "how to evaluate is not said"
expect 0 generate --model "$model" --adapter "$dir/free/last" --prompt so --max-tokens 6 --json
[ "$(value prompt_tokens)" = 3 ] || fail "free text: $(value prompt_tokens) tokens of prompt"
refused 1 "this one's has no prompt" generate --model "$model" --adapter "$dir/free/last" \
    --prompt so --field text=a

# ---- folders mistaken for one another ----
refused 1 "is an adapter, expected its base model's folder" score --model "$adapter" --ids 1,2
refused 1 "is a run, expected one of its adapters: $dir/runs/one/best" score --model "$model" \
    --adapter "$dir/runs/one" --ids 1,2
refused 1 "--adapter no/such: is no folder" score --model "$model" --adapter no/such --ids 1,2
refused 1 "(this is no safetensors file)" inspect "$dir/train.csv"

# ---- score, merge, inspect ----
ids=256,115,111,32,49,32,119,97,114,109,32,105,115
expect 0 score --model "$model" --ids $ids --json
json tokens nll mean_nll perplexity
[ "$(value tokens)" = 12 ] || fail "score counts $(value tokens) tokens"
plain=$(value nll)
expect 0 score --model "$model" --adapter "$adapter" --ids $ids --json --logits "$dir/with.safetensors"
with=$(value nll)
[ "$with" = "$plain" ] && fail "the adapter changes nothing"
expect 0 score --model "$model" --adapter "$adapter:0" --ids $ids --json
[ "$(value nll)" = "$plain" ] || fail "an adapter times 0 is not the base"
printf 'so 1 warm is' >"$dir/text"
expect 0 score --model "$model" --text "$dir/text" --json
[ "$(value nll)" = "$plain" ] || fail "text and ids score differently"
expect 0 merge --model "$model" --adapter "$adapter" --out "$dir/merged" --verify --json
json out verified rows largest_difference mean_difference largest_logit top1_agreement
awk "BEGIN { exit !($(value largest_difference) < 1e-4 * $(value largest_logit)) }" ||
    fail "the merged model differs: $(cat "$dir/out")"
expect 0 score --model "$dir/merged" --ids $ids --json --logits "$dir/without.safetensors"
awk "BEGIN { d = $(value nll) - $with; exit !(d < 1e-4 && d > -1e-4) }" ||
    fail "merged and unmerged score differently: $with, $(value nll)"
# the same size, and the numbers agree to 1e-3 (read as floats by od)
for side in with without; do
    od -An -v -tf4 -w4 -j 200 "$dir/$side.safetensors" >"$dir/$side"
done
paste "$dir/with" "$dir/without" | awk '
    { d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d; n++ }
    END { exit !(n > 3000 && most < 1e-3) }' || fail "merged logits differ"
for rows in "$dir/run.yaml" "$dir/runs/one"; do
    rm -rf "$dir/merged1"
    expect 0 merge --model "$model" --adapter "$adapter" --out "$dir/merged1" --verify --rows "$rows" --json
    [ "$(value rows)" = 228 ] || fail "12 rows of 19 tokens: $(value rows)"
    [ "$(value top1_agreement)" = 1 ] || fail "merged and unmerged prefer other tokens"
done
sed 's/^data: .*/data: {train: train.csv}/' "$dir/run.yaml" >"$dir/rows.yaml"
expect 0 merge --model "$model" --adapter "$adapter" --out "$dir/merged3" --verify --rows "$dir/rows.yaml"
has out "verified on 228 tokens"
for card in "$adapter/README.md" "$dir/merged/lorac.md"; do
    for text in '    {text} is' '     {label}' '- "good"' 'prompt = "{text} is"' 'from_pretrained(".")'; do
        grep -qxF -- "$text" "$card" || grep -qF -- "$text" "$card" || fail "$card lacks '$text'"
    done
done
grep -qF -- "lorac generate --model $model --adapter . --prompt TEXT" "$adapter/README.md" || fail "how to ask an adapter"
grep -qF -- "lorac generate --model . --prompt '{text} is'" "$dir/merged/lorac.md" || fail "how to ask a merged model"
(cd "$adapter" && eval "'$lorac' $(sed -n 's/^    lorac \(generate .*\)$/\1/p' README.md) --max-tokens 2") >"$dir/out" 2>&1 ||
    fail "the card's command fails"
expect 0 merge --model "$model" --adapter "$adapter" --out "$dir/merged2"
has out "read back and compared"
expect 0 merge --model "$model" --adapter "$adapter" --out "$dir/merged4" --dtype bfloat16 --verify --json
awk "BEGIN { d = $(value largest_difference); exit !(d > 1e-5 && d < 0.1 * $(value largest_logit)) }" ||
    fail "bfloat16 differs by rounding: $(cat "$dir/out")"
[ $(($(wc -c <"$dir/merged4/model.safetensors") * 2)) -lt $(($(wc -c <"$dir/merged/model.safetensors") + 4096)) ] ||
    fail "bfloat16 takes half the bytes"
# at a hundredfold scale attention is so sharp that bfloat16 gives another model: it never gets its name
heads=$(dirname "$0")/../golden/heads # an adapter with a head opens its model by itself
expect 0 merge --model "$heads/llama" --adapter "$heads/llama/adapter" --out "$dir/labels" --verify
has out "verified on 4 texts" "the likeliest label is the same in 4 of 4"
grep -qF LlamaForSequenceClassification "$dir/labels/config.json" || fail "the merged class"
expect 0 merge --model "$heads/llama-tags" --adapter "$heads/llama-tags/adapter" --out "$dir/tags" --verify
has out "verified on 256 tokens" "the likeliest label is the same in 256 of 256"
refused 1 "$dir/merged5: is not made: the merged model's logits differ by up to" merge --model "$model" \
    --adapter "$adapter:100" --out "$dir/merged5" --dtype bfloat16 --verify
ls -d "$dir"/merged5* 2>/dev/null && fail "what failed its verification is left"
refused 1 "no/such.txt: cannot" merge --model "$model" --adapter "$adapter" --out "$dir/merged5" --verify \
    --text no/such.txt
expect 0 inspect "$model"
expect 0 inspect "$adapter"
expect 0 inspect "$model" --json
json
expect 0 inspect "$adapter" --json
json

# ---- text ----
awk 'BEGIN { for (i = 0; i < 60; i++) printf "%d and then %d.\n--\n", i, i + 1 }' >"$dir/numbers.txt"
cat >"$dir/text.yaml" <<END
recipe: 1
model: {path: model, max_length: 16}
data: {kind: text, train: [numbers.txt], valid: {split: 0.2}, separator: "\n--\n"}
train: {epochs: 1, batch_tokens: 64, threads: 1}
output: {dir: runs/text}
END
expect 0 plan "$dir/text.yaml"
has out "train     48 documents in " "tokens trained, 0.9" "tokens a piece: " "example, document 1:"
grep -q "end-of-sequence" "$dir/out" && fail "plan tells of rows that end, and there are none"
expect 0 plan "$dir/text.yaml" --json
has out '"documents": 48' '"documents": 12' '"blank_documents": 0' '"bytes": '
expect 0 train "$dir/text.yaml" --json
json end steps loss bits_per_byte
grep -qF "bits per byte" "$dir/err" || fail "train tells no bits per byte"
expect 0 eval "$dir/runs/text" --json
json rows tokens bytes bits_per_byte byte_perplexity
expect 0 eval "$dir/runs/text"
has out "pieces " "bits a byte  " "perplexity per byte"
refused 1 "data is text (data.kind)" predict "$dir/runs/text" --in "$dir/train.csv" --out "$dir/no.csv"
refused 1 "for plain text write data.kind: text" train "$dir/text.yaml" --unset data.kind \
    --unset data.separator --set "data.train=$dir/numbers.txt"
expect 0 generate --model "$model" --adapter "$dir/runs/text/best" --prompt "7 and" --max-tokens 4

# ---- init ----
shape="--hidden-size 32 --num-hidden-layers 2 --num-attention-heads 4 --intermediate-size 48"
expect 0 init --out "$dir/new" --arch qwen2 --tokenizer "$model" $shape --num-key-value-heads 2 \
    --dtype bfloat16 --seed 3 --rope-theta 5000 --tie-word-embeddings true --json
json out architecture parameters vocab_size fingerprint
[ "$(value parameters)" = 23968 ] || fail "init: $(value parameters) parameters"
grep -qF '"rope_theta": 5000.0' "$dir/new/config.json" || fail "--rope-theta is not in config.json"
expect 0 score --model "$dir/new" --text "$dir/text" --json
awk "BEGIN { d = $(value mean_nll) / log(260); exit !(d > 0.95 && d < 1.05) }" ||
    fail "a new model knows something: $(value mean_nll)"
expect 0 init --out "$dir/newer" --config "$dir/new/config.json" --num-hidden-layers 3 --vocab-size 300
has out "a random Qwen2ForCausalLM of" "3 layers of width 32, vocabulary 300; read back and compared"
refused 1 "$dir/new: exists and is not an empty folder" init --out "$dir/new" --arch llama $shape
refused 1 "init needs --config FILE or --arch NAME, one of them" init --out "$dir/none"
refused 1 "--arch t5: is not known; supported are llama, mistral, qwen2" init --out "$dir/none" --arch t5
refused 1 "the options: 'vocab_size' is missing" init --out "$dir/none" --arch llama $shape
refused 1 "hidden_size (30) is no multiple of num_attention_heads (4)" init --out "$dir/none" \
    --config "$dir/new/config.json" --hidden-size 30
refused 1 "num_attention_heads (4) is no multiple of num_key_value_heads (3)" init --out "$dir/none" \
    --config "$dir/new/config.json" --num-key-value-heads 3
refused 1 "vocab_size is 259, but the tokenizer in $model has 260 tokens" init --out "$dir/none" \
    --arch llama --tokenizer "$model" $shape --vocab-size 259
refused 2 "--dtype must be float32 or float16 or bfloat16, found 'int8'" init --out "$dir/none" \
    --arch llama $shape --dtype int8
refused 1 "--tie-word-embeddings must be true or false, found 'yes'" init --out "$dir/none" \
    --arch llama $shape --tie-word-embeddings yes
[ -e "$dir/none" ] && fail "a refused init leaves a folder"

finish
