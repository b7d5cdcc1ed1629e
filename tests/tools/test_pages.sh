# What the program writes about itself: man pages and completion for bash. Promised:
#   - a page for each verb and one for the program, in which all options of --help stand, clean for groff and mandoc;
#   - bash completes verbs, options, choices, and after --set the keys of recipes and what may stand at them, whether
#     it cuts words at '=' or not.
. "$(dirname "$0")/support.sh"

expect 0 --pages "$dir/pages"
cp "$dir/pages/bash/lorac" "$dir/completion"
verbs=$("$lorac" --help | sed -n 's/^  \([a-z][a-z]*\)  *[^ ].*/\1/p' | grep -v '^lorac$')
[ "$(echo "$verbs" | wc -l)" -ge 16 ] || fail "verbs: $verbs"

for verb in $verbs; do
    page=$dir/pages/man1/lorac-$verb.1
    [ -s "$page" ] || fail "no page for $verb"
    for option in $("$lorac" "$verb" --help | sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p'); do
        grep -qF "$(printf '\\fB%s\\fR' "$option" | sed 's/-/\\-/g')" "$page" || fail "$verb: no $option in its page"
    done
    grep -q "lorac\\\\-$verb (1)" "$dir/pages/man1/lorac.1" || fail "lorac.1 does not name $verb"
done
for page in "$dir"/pages/man1/*.1; do
    if command -v mandoc >/dev/null; then
        said=$(mandoc -T lint "$page")
        [ -z "$said" ] || fail "$said"
    fi
    if command -v groff >/dev/null; then
        said=$(groff -ww -man -z "$page" 2>&1)
        [ -z "$said" ] || fail "$said"
    fi
done
SOURCE_DATE_EPOCH=86400 "$lorac" --pages "$dir/dated"
grep -q '^.TH LORAC 1 "1970-01-02"' "$dir/dated/man1/lorac.1" || fail "the date is not that of the source"

# complete BREAKS WORDS...: what bash offers for the last word, words cut as it cuts them.
complete() {
    env -u LC_ALL bash --norc -c '
        . "$1"; COMP_WORDBREAKS=$2; shift 2
        COMP_WORDS=(lorac "$@"); COMP_CWORD=$#; _lorac 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$dir/completion" "$@" | sort | tr '\n' ' '
}
# offers WANT BREAKS WORDS...
offers() {
    want=$1
    shift
    got=$(complete "$@")
    [ "$got" = "$want " ] || fail "bash offers '$got' behind lorac $*, not '$want'"
}
command -v bash >/dev/null || { echo "no bash"; exit 77; }
offers "plan predict prompt" '=' p
offers "--resume" '=' train --r
offers "--help" '=' plan --he
offers "adapter.bias=" '=' train --set adapter.bi
offers "adapter.bias" '=' train --unset adapter.bi
offers "all lora_only none" '=' train --set adapter.bias '=' ''
offers "lora_only" '=' train --set adapter.bias '=' l
offers "adapter.bias=lora_only" ' ' train --set adapter.bias=l
offers "lora_only" '=' train --set '=' adapter.bias '=' l
offers "--set=adapter.bias=lora_only" ' ' train --set=adapter.bias=l
offers "test train valid" '=' eval x --split ''
offers "bfloat16" '=' merge --dtype b
offers "check" '=' recipe c
offers "adapter.rank" '=' recipe explain adapter.ra
mkdir -p "$dir/place/folder" && touch "$dir/place/file"
offers "$dir/place/file $dir/place/folder" '=' train "$dir/place/f"
offers "$dir/place/folder" '=' generate --model "$dir/place/f"
finish
