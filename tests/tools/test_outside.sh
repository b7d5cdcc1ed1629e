#!/bin/sh
# Models, tokenizers and adapters as they come from elsewhere, from outside. What is promised:
#   - what transformers or PEFT read, and nothing is wrong with, is read;
#   - what cannot be read is called by its name, with the way out, and the command where there is one;
#   - a choice that is made in silence elsewhere is told on stderr.
# usage: test_outside.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

# copy NAME: a copy of the tiny model
copy() {
    cp -R "$model" "$dir/$1"
}
# change NAME FILE SED: edit a file of it
change() {
    sed -i "$3" "$dir/$1/$2"
    cmp -s "$dir/$1/$2" "$model/$2" && fail "$1: $2 is as it was"
}
# split FILE: the header of a safetensors file as $dir/header, the data as $dir/data
split() {
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    dd if="$1" of="$dir/header" bs=1 skip=8 count="$n" 2>/dev/null
    tail -c +$((9 + n)) "$1" >"$dir/data"
}
# join FILE: the other way
join() {
    n=$(wc -c <"$dir/header")
    {
        printf "\\$(printf %o $((n % 256)))\\$(printf %o $((n / 256 % 256)))\\0\\0\\0\\0\\0\\0"
        cat "$dir/header" "$dir/data"
    } >"$1"
}
pointer='version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 4096'

expect 0 score --model "$model" --ids 1,2,3 --json
plain=$(cat "$dir/out")
# same NAME: the folder is read, and is the same model
same() {
    expect 0 score --model "$dir/$1" --ids 1,2,3 --json
    [ "$(cat "$dir/out")" = "$plain" ] || fail "$1 is another model: $(cat "$dir/out")"
}

cat >"$dir/run.yaml" <<END
recipe: 1
model: {path: model, max_length: 40}
adapter: {rank: 2, targets: [q_proj, v_proj]}
data: {train: train.csv}
template: {prompt: '{text} is', completion: ' {label}'}
train: {steps: 2, batch_size: 2, threads: 1}
output: {dir: run}
END
printf 'text,label\nwarm,good\nflat,bad\nmild,good\ncold,bad\n' >"$dir/train.csv"
expect 0 train "$dir/run.yaml"
adapter=$dir/run/last

# ---- config.json ----
copy typed
tr -d '\n' <"$model/config.json" | sed 's/"architectures": *\[[^]]*\],//' >"$dir/typed/config.json"
grep -q architectures "$dir/typed/config.json" && fail "architectures are still there"
same typed
refused_model() { # NAME TEXT
    refused 1 "$2" score --model "$dir/$1" --ids 1,2
}
copy quantised
change quantised config.json 's/{/{"quantization_config": {"quant_method": "awq", "bits": 4},/'
refused_model quantised "quantised (awq, 4 bits), which is not supported; take the model that they were made from"

# ---- weights ----
copy null
split "$model/model.safetensors"
sed -i 's/"__metadata__":{[^}]*}/"__metadata__":null/' "$dir/header"
join "$dir/null/model.safetensors"
same null
sed -i 's/"__metadata__":null,//' "$dir/header"
join "$dir/null/model.safetensors"
same null
expect 0 merge --model "$dir/null" --adapter "$adapter" --out "$dir/merged" --force --verify
split "$dir/merged/model.safetensors"
has header '"__metadata__":{"format":"pt"}' # what transformers 4 asks for
copy lfs
printf '%s\n' "$pointer" >"$dir/lfs/model.safetensors"
refused_model lfs 'model.safetensors: is a Git LFS pointer, not the file that it stands for; `git lfs pull`'
copy pickle
mv "$dir/pickle/model.safetensors" "$dir/pickle/pytorch_model.bin"
refused_model pickle "pytorch_model.bin is a pickle, a program that is not run; in that folder, python -c"
copy resized
change resized config.json 's/"vocab_size": 260/"vocab_size": 256/'
refused_model resized '(tokens were added or cut: "vocab_size": 260 in config.json is what the tensors hold)'
copy beside
echo '{"weight_map": {}}' >"$dir/beside/model.safetensors.index.json"
same beside
has err "note: the model's folder holds model.safetensors and model.safetensors.index.json: the one file is read"

# ---- tokenizers ----
copy more # tokens than the model has
change more tokenizer.json 's/"added_tokens": \[/"added_tokens": [{"id": 260, "content": "<pic>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false}, /; s/\({"id": 260[^}]*}, \)\(.*special": true}\)\]/\2, \1]/; s/, \]/]/'
expect 0 train "$dir/run.yaml" --set "model.path=$dir/more" --set "output.dir=$dir/more-run"
printf 'text,label\nwarm,good\nflat <pic>,bad\nmild,good\ncold,bad\n' >"$dir/pic.csv"
for verb in train plan eval; do
    more="--set model.path=$dir/more --set data.train=$dir/pic.csv --set output.dir=$dir/pic-run"
    [ $verb = eval ] && more="$more --split train"
    refused 1 "$dir/pic.csv:3: token 260 ('<pic>') is the tokenizer's, which has 261, but the model knows 260" \
        $verb "$dir/run.yaml" $more
done
printf 'so it goes.\n<pic>\n' >"$dir/pic.txt"
refused 1 "$dir/pic.txt: document 1: token 260 ('<pic>') is" train "$dir/run.yaml" \
    --set "model.path=$dir/more" --set "data.train=$dir/pic.txt" --set "output.dir=$dir/pic-run" \
    --set data.kind=text --unset template.prompt --unset template.completion
copy sentencepiece
mv "$dir/sentencepiece/tokenizer.json" "$dir/sentencepiece/tokenizer.model"
refused 1 'tokenizer.model is SentencePiece'"'"'s: in that folder, python -c "from transformers' \
    tokenize --model "$dir/sentencepiece" so
printf '%s\n' "$pointer" >"$dir/sentencepiece/tokenizer.model"
refused 1 "sentencepiece/tokenizer.model: is a Git LFS pointer" tokenize --model "$dir/sentencepiece" so
printf '%s\n' "$pointer" >"$dir/pickle/pytorch_model.bin"
refused_model pickle "pickle/pytorch_model.bin: is a Git LFS pointer"
printf '%s\n' "$pointer" >"$dir/lfs/tokenizer.json"
refused 1 "tokenizer.json: is a Git LFS pointer" tokenize --model "$dir/lfs" so
printf '%s\n' "$pointer" >"$dir/lfs.csv"
refused 1 "lfs.csv: is a Git LFS pointer" train "$dir/run.yaml" --set "data.train=$dir/lfs.csv" \
    --set "output.dir=$dir/lfs-run"
refused 1 "lfs.csv: is a Git LFS pointer" train "$dir/run.yaml" --set "data.train=$dir/lfs.csv" \
    --set "output.dir=$dir/lfs-run" --set data.kind=text --unset template.prompt --unset template.completion

# ---- a model that says nothing ----
expect 0 next --model "$model" --prompt so --top 1 --json
grep -q note "$dir/err" && fail "a note where the text goes on: $(cat "$dir/err")"
copy silent
echo "{\"eos_token_id\": [257, $(value id)]}" >"$dir/silent/generation_config.json"
expect 0 generate --model "$dir/silent" --prompt so
[ "$(tr -d '\n' <"$dir/out" | wc -c)" = 0 ] || fail "it says something"
grep -qx "note: the model ended at once: its first token ends the text" "$dir/err" || fail "no note: $(cat "$dir/err")"
change silent tokenizer_config.json 's/^{/{"chat_template": [{"name": "default", "template": "{{ messages }}"}],/'
for more in "" --json; do
    expect 0 generate --model "$dir/silent" --prompt so $more
    has err "the model ended at once: its first token ends the text; $dir/silent has a chat template (tokenizer_config.json), which is not applied: --chat prompts in that form"
done
echo so | "$lorac" prompt --model "$dir/silent" >"$dir/out" 2>"$dir/err" || fail "prompt"
has err "the model ended at once"
expect 0 next --model "$dir/silent" --prompt so
has err "note: the likeliest next token ends the text; $dir/silent has a chat template"
expect 0 generate --model "$model" --prompt so --max-tokens 2
grep -q note "$dir/err" && fail "a note without need: $(cat "$dir/err")"
seed=0
first=
while [ -z "$first" ] && [ $seed -lt 50 ]; do # an answer that begins with a letter
    seed=$((seed + 1))
    expect 0 generate --model "$model" --prompt so --temperature 1 --seed $seed
    first=$(head -c 1 "$dir/out" | LC_ALL=C tr -cd 'A-Za-z')
done
expect 0 generate --model "$model" --prompt so --temperature 1 --seed $seed --stop "$first"
has err "note: the answer begins with a text of --stop: nothing of it is left"

# ---- adapters ----
mkdir "$dir/spelled" "$dir/empty"
cp "$adapter"/* "$dir/spelled"
split "$adapter/adapter_model.safetensors"
sed -i 's/lora_\([AB]\)\.weight/lora_\1.default.weight/g' "$dir/header"
while [ $(($(wc -c <"$dir/header") % 8)) != 0 ]; do printf ' ' >>"$dir/header"; done
join "$dir/spelled/adapter_model.safetensors"
expect 0 score --model "$model" --adapter "$adapter" --ids 1,2,3 --json
with=$(cat "$dir/out")
expect 0 score --model "$model" --adapter "$dir/spelled" --ids 1,2,3 --json
[ "$(cat "$dir/out")" = "$with" ] || fail "another spelling is another adapter"
sed -i 's/"lora_alpha": *[0-9.]*/"lora_alpha": null/' "$dir/spelled/adapter_config.json"
refused 1 "adapter_config.json: 'lora_alpha' is null: the update's scale is lora_alpha / r" \
    score --model "$model" --adapter "$dir/spelled" --ids 1,2
rm "$dir/spelled/adapter_model.safetensors"
echo x >"$dir/spelled/adapters.safetensors"
refused 1 "mlx_lm.fuse --model BASE --adapter-path . --save-path ../fused puts it into a model" \
    score --model "$model" --adapter "$dir/spelled" --ids 1,2
printf '%s\n' "$pointer" >"$dir/spelled/adapter_model.safetensors"
cp "$adapter/adapter_config.json" "$dir/spelled"
refused 1 "adapter_model.safetensors: is a Git LFS pointer" score --model "$model" --adapter "$dir/spelled" --ids 1,2
refused 1 "adapter_config.json: is missing; $model is a whole model, not an adapter" \
    score --model "$model" --adapter "$model" --ids 1,2
cp -R "$adapter" "$dir/empty/checkpoint-2"
refused 1 "adapter_config.json: is missing; folders in $dir/empty have one: checkpoint-2" \
    score --model "$model" --adapter "$dir/empty" --ids 1,2
# what an adapter brings and nobody asks for is told
copy foreign-base
cp -R "$adapter" "$dir/foreign"
split "$dir/foreign/adapter_model.safetensors"
sed -i 's/"lorac.template":"[^{]*{.*}",//; s/"lorac.template":/"was":/' "$dir/header"
while [ $(($(wc -c <"$dir/header") % 8)) != 0 ]; do printf ' ' >>"$dir/header"; done
join "$dir/foreign/adapter_model.safetensors"
printf '{{ messages }}' >"$dir/foreign/chat_template.jinja"
expect 0 generate --model "$model" --adapter "$dir/foreign" --prompt so --max-tokens 2
has err "note: $dir/foreign brings a chat template of its own (chat_template.jinja), which is not applied"
cp "$dir/more/tokenizer.json" "$dir/foreign"
expect 0 generate --model "$model" --adapter "$dir/foreign" --prompt so --max-tokens 2
has err "brings a tokenizer of its own (261 tokens), which makes other tokens than the base's (260): the base's is used"
cp "$dir/foreign/chat_template.jinja" "$dir/foreign-base" # the same as the base's, and the same tokenizer
cp "$model/tokenizer.json" "$dir/foreign"
cp "$model/tokenizer_config.json" "$dir/foreign"
expect 0 generate --model "$dir/foreign-base" --adapter "$dir/foreign" --prompt so --max-tokens 2
grep -q note "$dir/err" && fail "a note without need: $(cat "$dir/err")"
# --force is named where the verb has it
copy other
split "$model/model.safetensors"
head -c 64 "$dir/data" | tr '\000-\377' '\001-\377\000' >"$dir/first"
tail -c +65 "$dir/data" >"$dir/rest"
cat "$dir/first" "$dir/rest" >"$dir/data"
join "$dir/other/model.safetensors"
refused 1 "was made for another base" score --model "$dir/other" --adapter "$adapter" --ids 1,2
has err "(--force takes it all the same)"
refused 1 "was made for another base" train "$dir/run.yaml" --set "model.path=$dir/other" \
    --set "adapter.from=$adapter" --unset adapter.rank --unset adapter.targets --set "output.dir=$dir/x"
grep -q -- --force "$dir/err" && fail "train has no --force"

# ---- the Hub's local cache, as huggingface_hub lays it out ----
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HOME XDG_CACHE_HOME
HOME=$dir/home
export HOME
hub=$HOME/.cache/huggingface/hub
# cache HUB OWNER--NAME COMMIT FROM: a download of the folder FROM
cache() {
    repo=$1/models--$2
    mkdir -p "$repo/blobs" "$repo/refs" "$repo/snapshots/$3"
    for file in "$4"/*; do
        sum=$(cksum <"$file" | tr -d ' ')
        cp "$file" "$repo/blobs/$sum"
        ln -s "../../blobs/$sum" "$repo/snapshots/$3/${file##*/}"
    done
}
refused 1 "--model me/tiny: is no folder, and me/tiny is not in the Hub's cache $hub; to download it: hf download me/tiny" \
    score --model me/tiny --ids 1,2
cache "$hub" me--tiny 5afe "$model"
printf 5afe >"$hub/models--me--tiny/refs/main"
snapshot=$hub/models--me--tiny/snapshots/5afe
for name in me/tiny me/tiny/ hf://me/tiny https://huggingface.co/me/tiny/tree/main \
    "$hub/models--me--tiny" "$hub/models--me--tiny/"; do
    expect 0 score --model "$name" --ids 1,2,3 --json
    [ "$(cat "$dir/out")" = "$plain" ] || fail "$name is another model"
    grep -q "^note: --model $name is .*models--me--tiny/*/snapshots/5afe$" "$dir/err" || { fail "$name is not told"; cat "$dir/err"; }
done
expect 0 score --model "$snapshot" --ids 1,2,3 --json
[ -s "$dir/err" ] && fail "a note for a plain folder: $(cat "$dir/err")"
expect 0 tokenize --model me/tiny so
expect 0 inspect me/tiny
expect 0 diff me/tiny "$model"
expect 0 recipe init --model me/tiny --csv "$dir/train.csv"
has out "$snapshot"
expect 0 plan "$dir/run.yaml" --set model.path=me/tiny
has err "note: model.path me/tiny is $snapshot"
has out "base      $snapshot ("
expect 0 train "$dir/run.yaml" --set model.path=me/tiny --set "output.dir=$dir/hub"
has err "note: model.path me/tiny is $snapshot"
has hub/recipe.resolved.yaml "path: \"$snapshot\""
has hub/run.json "\"base\": \"$snapshot\"" '"base_id": "me/tiny"'
has hub/last/adapter_config.json '"base_model_name_or_path": "me/tiny"'
expect 0 eval "$dir/hub" --split train
expect 0 merge --model me/tiny --adapter "$dir/hub/last" --out "$dir/hub-merged" --verify
[ -h "$dir/hub-merged/config.json" ] && fail "merging copies links"
# adapters lie there, too
cache "$hub" me--lora ad0 "$adapter" # no refs/main: the only one
expect 0 score --model me/tiny --adapter me/lora --ids 1,2
has err "note: --adapter me/lora is $hub/models--me--lora/snapshots/ad0"
expect 0 score --model me/tiny --adapter me/lora:0.5 --ids 1,2
expect 0 train "$dir/run.yaml" --set adapter.from=me/lora --unset adapter.rank --unset adapter.targets \
    --set "output.dir=$dir/from"
has err "note: adapter.from me/lora is $hub/models--me--lora/snapshots/ad0"
refused 1 "adapter.from: $PWD/me/lore: is no folder, and me/lore is not in the Hub's cache $hub; to download it: hf download me/lore" \
    plan "$dir/run.yaml" --set adapter.from=me/lore --unset adapter.rank --unset adapter.targets
refused 1 "model.path: $PWD/me/none: is no folder, and me/none is not in the Hub's cache $hub; to download it: hf download me/none" \
    plan "$dir/run.yaml" --set model.path=me/none
refused 1 "model.path: $dir/none: is no folder" plan "$dir/run.yaml" --set "model.path=$dir/none"
# a folder that is there wins; a legacy name without an owner; an older snapshot by its folder
mkdir -p "$dir/here/me"
cp -R "$dir/beside" "$dir/here/me/tiny"
(cd "$dir/here" && "$lorac" score --model me/tiny --ids 1,2 2>"$dir/err" >"$dir/out") || fail "me/tiny here"
grep -q 'note: --model' "$dir/err" && fail "the cache wins over a folder"
cache "$hub" gpt0 e1de "$model"
expect 0 score --model gpt0 --ids 1,2
cache "$hub" me--tiny 01de "$model"
expect 0 score --model me/tiny --ids 1,2
has err "snapshots/5afe"
rm "$hub/models--me--tiny/refs/main"
refused 1 "$hub/models--me--tiny/snapshots: holds 2 snapshots, and no refs/main says which; give the folder of one: 01de, 5afe" \
    score --model me/tiny --ids 1,2
printf dead >"$hub/models--me--tiny/refs/main"
refused 1 "snapshots/dead: is not there, though refs/main names it; to download it: hf download me/tiny" \
    score --model me/tiny --ids 1,2
# where the cache is
for place in HF_HUB_CACHE: HUGGINGFACE_HUB_CACHE: HF_HOME:/hub XDG_CACHE_HOME:/huggingface/hub; do
    name=${place%%:*}
    cache "$dir/at-$name${place#*:}" you--tiny beef "$model"
    export "$name=$dir/at-$name"
    expect 0 score --model you/tiny --ids 1,2
    has err "note: --model you/tiny is $dir/at-$name${place#*:}/models--you--tiny/snapshots/beef"
    unset "$name"
done
HF_HOME='~/there'
export HF_HOME
cache "$HOME/there/hub" you--tiny beef "$model"
expect 0 score --model you/tiny --ids 1,2
unset HF_HOME
# downloads that were not finished
cache "$hub" me--half 4a1f "$model"
half=$hub/models--me--half/snapshots/4a1f
rm "$(readlink -f "$half/model.safetensors")"
refused 1 "$half/model.safetensors: is a link to ../../blobs/" score --model me/half --ids 1,2
has err "which is not there: a download that was not finished, or a file that was moved; hf download me/half fetches what is missing"
rm "$half/model.safetensors"
: >"$hub/models--me--half/blobs/4d7a.incomplete"
refused 1 "$half: holds neither model.safetensors nor model.safetensors.index.json; a file of its download is not finished; hf download me/half fetches what is missing" \
    score --model me/half --ids 1,2
echo '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}' >"$half/model.safetensors.index.json"
refused 1 "names 2 files, of which 2 are missing: model-1.safetensors, model-2.safetensors; a file of its" \
    plan "$dir/run.yaml" --set model.path=me/half
rm "$half/tokenizer.json"
refused 1 "tokenizer.json: is missing" plan "$dir/run.yaml" --set model.path=me/half
has err "hf download me/half fetches what is missing"
copy local
mkdir -p "$dir/local/.cache/huggingface/download"
rm "$dir/local/model.safetensors"
: >"$dir/local/.cache/huggingface/download/x.incomplete"
refused 1 "its download is not finished: hf download with --local-dir $dir/local goes on with it" \
    score --model "$dir/local" --ids 1,2

finish
