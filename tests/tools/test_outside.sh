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
printf '%s\n' "$pointer" >"$dir/lfs/tokenizer.json"
refused 1 "tokenizer.json: is a Git LFS pointer" tokenize --model "$dir/lfs" so
printf '%s\n' "$pointer" >"$dir/lfs.csv"
refused 1 "lfs.csv: is a Git LFS pointer" train "$dir/run.yaml" --set "data.train=$dir/lfs.csv" \
    --set "output.dir=$dir/lfs-run"
refused 1 "lfs.csv: is a Git LFS pointer" train "$dir/run.yaml" --set "data.train=$dir/lfs.csv" \
    --set "output.dir=$dir/lfs-run" --set data.kind=text --unset template.prompt --unset template.completion

finish
