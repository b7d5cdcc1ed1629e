# What the tests of the program share: `. "$(dirname "$0")/support.sh"` reads their arguments LORAC and
# MAKE_TINY, and leaves a tiny model in the folder $dir, which goes when the test ends.
set -u
lorac=$1
make_tiny=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
OMP_NUM_THREADS=1
export OMP_NUM_THREADS
unset LORAC_BACKEND
model=$dir/model
"$make_tiny" "$model" || exit 1

fail() {
    echo "FAILED: $*"
    failed=1
}

# The last command of a test.
finish() {
    [ $failed = 0 ] && echo "all as promised"
    exit $failed
}

# expect CODE WORDS...: the program ends with this code; out and err keep what it printed.
expect() {
    want=$1
    shift
    "$lorac" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ "$got" = "$want" ] || {
        fail "lorac $*: exit code $got, expected $want"
        sed 's/^/    /' "$dir/err"
    }
}

# refused CODE TEXT WORDS...: it fails with one line that holds the text, and prints nothing.
refused() {
    code=$1
    text=$2
    shift 2
    expect "$code" "$@"
    grep -qF -- "$text" "$dir/err" || { fail "lorac $*: no '$text' in:"; cat "$dir/err"; }
    [ -s "$dir/out" ] && fail "lorac $*: prints although it fails"
    [ "$(grep -c '^lorac: ' "$dir/err")" = 1 ] || fail "lorac $*: not one line of error"
}

# has FILE TEXT...: each stands in it.
has() {
    file=$1
    shift
    for text; do
        grep -qF -- "$text" "$dir/$file" || { fail "no '$text' in:"; cat "$dir/$file"; }
    done
}

# json KEY...: what was printed is one line with one object that has these keys.
json() {
    [ "$(wc -l <"$dir/out")" = 1 ] || fail "not one line of JSON"
    grep -q '^{.*}$' "$dir/out" || { fail "no JSON object:"; cat "$dir/out"; }
    for key; do
        has out "\"$key\": "
    done
    # quotes in pairs, no comma before a bracket, no nan or inf: what printf gets wrong
    sed 's/\\.//g' "$dir/out" | awk -F'"' 'NF % 2 == 0 { exit 1 }' || fail "quotes do not pair up"
    sed 's/\\.//g; s/"[^"]*"/S/g' "$dir/out" | grep -qE ',[ ]*[]}]|nan|inf|[[{][ ]*,' &&
        { fail "malformed JSON:"; cat "$dir/out"; }
    return 0
}

# value KEY: the first of that name in the JSON printed last.
value() {
    grep -o "\"$1\": [^],}]*" "$dir/out" | head -1 | sed 's/.*: //'
}

# a_run EPOCHS [ROWS]: train.csv of these rows, else of two labels, and run.yaml, a recipe that trains on it into
# runs/one.
a_run() {
    two=$(for i in 1 2 3 4 5 6; do printf '"so, %s warm",good\nso %s flat,bad\n' $i $i; done)
    printf 'text,label\n%s\n' "${2:-$two}" >"$dir/train.csv"
    cat >"$dir/run.yaml" <<END
recipe: 1
model: {path: model, max_length: 40}
adapter: {rank: 4, alpha: 8}
data: {train: train.csv, valid: {split: 0.25, stratify: label}, test: train.csv}
template: {prompt: '{text} is', completion: ' {label}'}
train: {epochs: $1, batch_size: 3, threads: 1}
optimizer: {lr: 0.01}
eval: {metrics: [loss, accuracy]}
output: {dir: runs/one}
END
}

# two_steps: table.csv of four rows, and run.yaml, a recipe of two steps on it into run/.
two_steps() {
    printf 'text,label\na,x\nb,y\nc,x\nd,y\n' >"$dir/table.csv"
    cat >"$dir/run.yaml" <<END
recipe: 1
model: {path: $model, max_length: 64}
adapter: {rank: 2, alpha: 4}
data: {train: table.csv}
template: {prompt: '{text} is', completion: ' {label}'}
train: {steps: 2, batch_size: 2, threads: 1}
optimizer: {lr: 0.01}
output: {dir: run}
END
}
