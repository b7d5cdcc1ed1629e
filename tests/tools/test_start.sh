#!/bin/sh
# test_start.sh LORAC MAKE_TINY - how the program starts. What is promised:
#   - it keeps its name in /proc, as ps and top show it, and so does a link to it; started through the dynamic linker it
#     runs as it is;
#   - settings that only the environment can make are made, but for those that are there;
#   - OpenBLAS is loaded by what computes, not by what says, plans, checks or tokenizes; where a limit of the address space
#     is too small for it that is an error, which says what to do, and nothing hangs.
#   - oneDNN is loaded by what computes in bfloat16; where it is not there, or cannot be fast, that is an error before
#     anything runs, with the reason, and what asks for auto computes in float32 and says so.
. "$(dirname "$0")/support.sh"
unset OPENBLAS_NUM_THREADS GOTO_NUM_THREADS OPENBLAS_CORETYPE OMP_WAIT_POLICY GOMP_SPINCOUNT

two_steps

# ---- its name ----
named() { # NAME PROGRAM: the process that waits for its input is called NAME
    rm -f "$dir/pipe"
    mkfifo "$dir/pipe"
    sleep 30 >"$dir/pipe" &
    writer=$!
    "$2" tokenize --model "$model" - <"$dir/pipe" >"$dir/out" 2>"$dir/err" &
    pid=$!
    n=0
    # it has started anew once its own environment names the setting
    until { tr '\0' '\n' <"/proc/$pid/environ" | grep -q GOMP_SPINCOUNT; } 2>/dev/null || [ $n = 50 ]; do
        n=$((n + 1))
        sleep 0.1
    done
    got=$(cat "/proc/$pid/comm")
    [ "$got" = "$1" ] || fail "$2: the process is called '$got', expected '$1'"
    kill $pid $writer
    wait
}
base=$(basename "$lorac")
named "$base" "$lorac"
ln -s "$lorac" "$dir/another-name"
named another-name "$dir/another-name"
PATH=$dir:$PATH named another-name another-name
linker=$(ldd "$lorac" | sed -n 's/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\).*/\1/p')
if [ -n "$linker" ]; then
    "$linker" "$lorac" --version >"$dir/out" 2>"$dir/err" || fail "not through the dynamic linker: $(cat "$dir/err")"
    has out "lorac "
fi

# ---- settings ----
last() { grep "$1" "$dir/err" | tail -n 1; } # what it runs with in the end
if ldd "$lorac" | grep -q libgomp; then
    OMP_DISPLAY_ENV=verbose "$lorac" --version >"$dir/out" 2>"$dir/err"
    case $(last SPINCOUNT) in *"'2000'"*) ;; *) fail "threads do not spin for a moment: $(last SPINCOUNT)" ;; esac
    OMP_DISPLAY_ENV=verbose OMP_WAIT_POLICY=active "$lorac" --version >"$dir/out" 2>"$dir/err"
    case $(last WAIT_POLICY) in *ACTIVE*) ;; *) fail "OMP_WAIT_POLICY was overruled" ;; esac
fi

# ---- oneDNN ----
score="score --model $model --ids 1,2,3"
if grep -q libdnnl "$lorac" && grep -q avx512_bf16 /proc/cpuinfo; then
    DNNL_VERBOSE=2
    export DNNL_VERBOSE
    for words in --help "plan $dir/run.yaml" "$score" "$score --compute float32"; do
        expect 0 $words
        grep -q '^onednn_verbose\|^dnnl_verbose' "$dir/out" && fail "lorac $words loads oneDNN"
    done
    ids=$(seq -s, 1 40)
    expect 0 score --model "$model" --ids "$ids" --compute bfloat16
    grep -q 'dnnl_verbose\|onednn_verbose' "$dir/out" || fail "oneDNN computes nothing"
    unset DNNL_VERBOSE
    DNNL_MAX_CPU_ISA=AVX2 # as on a processor without the instructions
    export DNNL_MAX_CPU_ISA
    refused 1 "--compute: bfloat16 cannot be computed in here: oneDNN has no fast product" $score --compute bfloat16
    refused 1 "model.compute: bfloat16 cannot be computed in here: oneDNN has no fast product" \
        train "$dir/run.yaml" --set model.compute=bfloat16
    [ -e "$dir/run" ] && fail "a run was begun that cannot compute"
    expect 0 $score --compute auto
    has err "note: --compute auto is float32 here: oneDNN has no fast product"
    expect 0 plan "$dir/run.yaml" --set model.compute=auto
    has out "computed in float32" "model.compute: auto is float32 here"
    unset DNNL_MAX_CPU_ISA
    expect 0 plan "$dir/run.yaml" --set model.compute=auto
    has out "computed in bfloat16"
elif ! grep -q libdnnl "$lorac" && grep -q cblas_sgemm "$lorac"; then # ref has it
    refused 1 "bfloat16 cannot be computed in here: built without oneDNN" $score --compute bfloat16
fi

# ---- OpenBLAS ----
grep -q libopenblas "$lorac" || finish # linked, or a build without it
if grep -q avx2 /proc/cpuinfo; then
    OPENBLAS_VERBOSE=2 "$lorac" $score >"$dir/out" 2>"$dir/err"
    case $(last '^Core:') in
        '' | *Prescott | *Barcelona) fail "OpenBLAS takes old kernels: $(last '^Core:')" ;;
    esac
    OPENBLAS_VERBOSE=2 OPENBLAS_CORETYPE=Prescott "$lorac" $score >"$dir/out" 2>"$dir/err"
    case $(last '^Core:') in *Prescott) ;; *) fail "OPENBLAS_CORETYPE was overruled" ;; esac
fi
if ldd "$lorac" | grep -q libopenblas; then finish; fi # linked: it is there from the beginning
export OPENBLAS_VERBOSE=2
for words in --help --version "train --help" "recipe check $dir/run.yaml" "plan $dir/run.yaml" \
    "tokenize --model $model hello" "inspect $model" "recipe schema"; do
    expect 0 $words
    grep -q '^Core:' "$dir/err" && fail "lorac $words loads OpenBLAS"
done
unset OPENBLAS_VERBOSE

limited() { # CODE KIB WORDS...: under a limit of the address space, and of time
    want=$1
    kib=$2
    shift 2
    (ulimit -v "$kib" && exec timeout -s KILL 20 "$lorac" "$@") >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ $got = "$want" ] || { fail "lorac $*: exit code $got under $kib KiB, expected $want"; cat "$dir/err"; }
}
if grep -qE '__(a|t)san_init' "$lorac"; then finish; fi # a sanitizer takes terabytes of address space
for words in --help "plan $dir/run.yaml" "recipe check $dir/run.yaml" "tokenize --model $model hello"; do
    limited 0 150000 $words
done
for words in "$score" "train $dir/run.yaml" "generate --model $model --prompt a"; do
    limited 1 150000 $words
    has err "OpenBLAS takes 296 MiB of address space for 1 thread beside the program's" \
        "this process may have 146 MiB in all (ulimit -v): raise the limit"
done
[ -e "$dir/run/metrics.csv" ] && fail "a run was begun that cannot compute"
OMP_NUM_THREADS=
export OMP_NUM_THREADS
if [ "$(nproc)" -gt 1 ]; then
    limited 1 300000 $score --threads 2
    has err "or set OMP_NUM_THREADS=1"
fi
OMP_NUM_THREADS=1
limited 0 600000 $score --threads 1
finish
