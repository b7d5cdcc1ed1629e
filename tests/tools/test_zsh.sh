# Completion in a real zsh, typed into a terminal of its own (zsh/zpty). Promised: verbs, options, choices, and after
# --set the keys of recipes and what may stand at them. Skipped where there is no zsh.
. "$(dirname "$0")/support.sh"
command -v zsh >/dev/null || { echo "skipped: no zsh"; exit 77; }
expect 0 --pages "$dir/pages"
mkdir -p "$dir/place/folder" && touch "$dir/place/file"

# typed TEXT: the line that a TAB behind it leaves.
typed() {
    env -u LC_ALL TERM=dumb HOME="$dir" zsh -f -c '
        zmodload zsh/zpty
        zpty z "TERM=dumb zsh -f -i"
        zpty -w z "PS1=\"\"; PS2=\"\"; fpath=($1/zsh \$fpath); autoload -U compinit; compinit -u -D; setopt no_beep"
        zpty -w z "show() { print -r -- \"<\$BUFFER>\"; zle kill-buffer }; zle -N show; bindkey \"^X\" show; print ready"
        while zpty -r z line; do [[ $line == ready* ]] && break; done
        zpty -w -n z "$2"$'"'\\t\\x18'"'
        while zpty -r z line; do [[ $line == *"<lorac"*">"* ]] && break; done
        print -r -- ${${line#*<}%>*}
        zpty -d z' zsh "$dir/pages" "$1" 2>/dev/null
}
completes() {
    got=$(timeout 60 sh -c : && typed "$1")
    [ "$got" = "$2" ] || fail "zsh makes '$got' of '$1', not '$2'"
}
completes "lorac tra" "lorac train "
completes "lorac train --res" "lorac train --resume "
completes "lorac train --set adapter.bi" "lorac train --set adapter.bias="
completes "lorac train --set adapter.bias=l" "lorac train --set adapter.bias=lora_only "
completes "lorac train --set=adapter.bias=l" "lorac train --set=adapter.bias=lora_only "
completes "lorac train --unset adapter.bi" "lorac train --unset adapter.bias "
completes "lorac train --set seed=1 --set adapter.bi" "lorac train --set seed=1 --set adapter.bias="
completes "lorac train --resume --res" "lorac train --resume --res"
completes "lorac eval x --split va" "lorac eval x --split valid "
completes "lorac recipe ch" "lorac recipe check "
completes "lorac recipe explain adapter.ra" "lorac recipe explain adapter.rank "
completes "lorac generate --model $dir/place/f" "lorac generate --model $dir/place/folder/"
finish
