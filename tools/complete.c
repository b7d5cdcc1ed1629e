/* complete.c - completion for bash and zsh; see pages.h. */
#include "tools/pages.h"
#include <lorac/recipes.h>

#include <string.h>

/* All keys, each with `end` behind it. */
static void put_keys(struct lorac_buf *b, const char *end)
{
    for (size_t i = 0; lorac_recipe_key(i); i++) {
        lorac_buf_printf(b, "%s%s%s", i ? " " : "", lorac_recipe_key(i), end);
    }
}

/* A line "    KEY) BEFORE words AFTER" for each key that is a choice. */
static void put_choices(struct lorac_buf *b, const char *before, const char *after)
{
    for (size_t i = 0; lorac_recipe_key(i); i++) {
        if (!lorac_recipe_key_word(i, 0)) { continue; }
        lorac_buf_printf(b, "    %s) %s", lorac_recipe_key(i), before);
        for (size_t k = 0; lorac_recipe_key_word(i, k); k++) {
            lorac_buf_printf(b, "%s%s", k ? " " : "", lorac_recipe_key_word(i, k));
        }
        lorac_buf_printf(b, "%s\n", after);
    }
}

static void put_verbs(struct lorac_buf *b, const struct verb *const *verbs, size_t n_verbs)
{
    for (size_t i = 0; i < n_verbs; i++) {
        lorac_buf_printf(b, "%s%s", i ? " " : "", verbs[i]->name);
    }
}

/* ---- bash ---- */

static void bash_option(struct lorac_buf *b, const struct option *o)
{
    static const char *const kinds[] = {
        [PAGES_TEXT] = "none", [PAGES_FILE] = "file",       [PAGES_DIR] = "dir",
        [PAGES_KEY] = "key",   [PAGES_SETTING] = "setting",
    };
    char words[256];
    enum pages_value value = pages_value(o);
    if (value == PAGES_NOTHING) { return; }
    if (value == PAGES_WORDS) {
        lorac_buf_printf(b, "        %s) kind=words list='%s' ;;\n", o->name,
                         pages_words(words, o));
    } else {
        lorac_buf_printf(b, "        %s) kind=%s ;;\n", o->name, kinds[value]);
    }
}

static void bash_verb(struct lorac_buf *b, const struct verb *v)
{
    lorac_buf_printf(b, "    %s)\n        first='%s'\n        options='", v->name,
                     v->words ? v->words : "");
    for (const struct option *o = v->options; o->name; o++) {
        lorac_buf_printf(b, "%s ", o->name);
    }
    lorac_buf_str(b, "--help'\n        case $prev in\n");
    for (const struct option *o = v->options; o->name; o++) {
        bash_option(b, o);
    }
    lorac_buf_str(b, "        esac ;;\n");
}

static const char bash_head[] =
    "# completion of lorac for bash, written by lorac --pages\n"
    "_lorac()\n{\n"
    "    local cur prev='' verb='' kind='' list='' first='' options='' cut='' key i w words=()\n"
    "    for ((i = 1; i <= COMP_CWORD; i++)); do # bash cuts words at '='\n"
    "        w=${COMP_WORDS[i]}\n"
    "        if ((${#words[@]})) && [[ $w == '=' || ${COMP_WORDS[i - 1]} == '=' ]]; then\n"
    "            words[${#words[@]} - 1]+=$w\n"
    "        else\n"
    "            words+=(\"$w\")\n"
    "        fi\n"
    "    done\n"
    "    COMPREPLY=()\n"
    "    i=${#words[@]}\n"
    "    cur=${words[i - 1]}\n"
    "    if ((i > 1)); then prev=${words[i - 2]} verb=${words[0]}; fi\n"
    "    if [[ $cur == --*=* ]]; then prev=${cur%%=*} cut=$prev= cur=${cur#*=}; fi\n"
    "    case $verb in\n";

static const char bash_tail[] =
    "    if [[ $verb == recipe && $prev == explain ]]; then kind=key; fi\n"
    "    if [[ -z $kind && $cur == -* ]]; then\n"
    "        kind=words list=$options\n"
    "    elif [[ -z $kind && $i == 2 && -n $first ]]; then\n"
    "        kind=words list=$first\n"
    "    fi\n"
    "    if [[ $kind == setting && $cur == *=* ]]; then\n"
    "        key=${cur%%=*} cut+=$key= cur=${cur#*=}\n"
    "        case $key in\n"
    "        *.path | *.dir | *.train | *.valid | *.test | extends) kind=file ;;\n"
    "        *) kind=words list=$(_lorac_words \"$key\") ;;\n"
    "        esac\n"
    "    fi\n"
    "    case $kind in\n"
    "    none) ;;\n"
    "    words) COMPREPLY=($(compgen -W \"$list\" -- \"$cur\")) ;;\n"
    "    key) COMPREPLY=($(compgen -W \"$keys\" -- \"$cur\")) ;;\n"
    "    setting)\n"
    "        compopt -o nospace 2>/dev/null\n"
    "        COMPREPLY=($(compgen -S = -W \"$keys\" -- \"$cur\")) ;;\n"
    "    dir)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
    "    *)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
    "    esac\n"
    "    if [[ $COMP_WORDBREAKS != *=* ]]; then COMPREPLY=(\"${COMPREPLY[@]/#/$cut}\"); fi\n"
    "}\n"
    "complete -F _lorac lorac\n";

void pages_bash(struct lorac_buf *b, const struct verb *const *verbs, size_t n_verbs)
{
    lorac_buf_str(b, "_lorac_words()\n{\n    case $1 in\n");
    put_choices(b, "echo '", "' ;;");
    lorac_buf_str(b, "    esac\n}\n");
    lorac_buf_str(b, bash_head);
    for (size_t i = 0; i < n_verbs; i++) {
        bash_verb(b, verbs[i]);
    }
    lorac_buf_str(b, "    '')\n        kind=words list='");
    put_verbs(b, verbs, n_verbs);
    lorac_buf_str(b, " help --help --version' ;;\n    esac\n    local keys='");
    put_keys(b, "");
    lorac_buf_str(b, "'\n");
    lorac_buf_str(b, bash_tail);
}

/* ---- zsh ---- */

/* Text in a specification of _arguments, within single quotes. */
static void zsh_text(struct lorac_buf *b, const char *text)
{
    for (const char *s = text; *s; s++) {
        if (strchr("[]:\\", *s)) { lorac_buf_str(b, "\\"); }
        if (*s == '\'') {
            lorac_buf_str(b, "'\\''");
        } else {
            lorac_buf_add(b, s, 1);
        }
    }
}

static void zsh_option(struct lorac_buf *b, const struct option *o)
{
    static const char *const actions[] = {
        [PAGES_TEXT] = " ",
        [PAGES_FILE] = "_files",
        [PAGES_DIR] = "_files -/",
        [PAGES_KEY] = "_lorac_keys",
        [PAGES_SETTING] = "_lorac_setting",
    };
    char words[256];
    enum pages_value value = pages_value(o);
    lorac_buf_printf(b, "        '%s%s%s[", o->many ? "*" : "", o->name, o->value ? "=" : "");
    zsh_text(b, o->help);
    lorac_buf_str(b, "]");
    if (value != PAGES_NOTHING) {
        lorac_buf_str(b, ":");
        zsh_text(b, o->value);
        lorac_buf_str(b, ":");
    }
    if (value == PAGES_WORDS) {
        lorac_buf_printf(b, "(%s)", pages_words(words, o));
    } else if (value != PAGES_NOTHING) {
        lorac_buf_str(b, actions[value]);
    }
    lorac_buf_str(b, "' \\\n");
}

static void zsh_verb(struct lorac_buf *b, const struct verb *v)
{
    lorac_buf_printf(b, "    %s)\n        _arguments -s \\\n", v->name);
    for (const struct option *o = v->options; o->name; o++) {
        zsh_option(b, o);
    }
    lorac_buf_str(b, "        '--help[show the options]' \\\n");
    if (v->words) { lorac_buf_printf(b, "        '1:what:(%s)' \\\n", v->words); }
    if (strcmp(v->name, "recipe") == 0) {
        lorac_buf_str(b, "        '*:key or file:_lorac_recipe' ;;\n");
    } else {
        lorac_buf_str(b, "        '*:file:_files' ;;\n");
    }
}

void pages_zsh(struct lorac_buf *b, const struct verb *const *verbs, size_t n_verbs)
{
    lorac_buf_str(b, "#compdef lorac\n# completion of lorac for zsh, written by lorac --pages\n"
                     "_lorac_keys() {\n    compadd -- ");
    put_keys(b, "");
    lorac_buf_str(b, "\n}\n_lorac_setting() {\n"
                     "    if ! compset -P '*='; then\n"
                     "        compadd -q -S = -- ");
    put_keys(b, "");
    lorac_buf_str(b, "\n        return\n    fi\n"
                     "    case ${${IPREFIX%=}##*=} in\n");
    put_choices(b, "compadd -- ", " ;;");
    lorac_buf_str(b, "    *) _files ;;\n    esac\n}\n"
                     "_lorac_recipe() {\n"
                     "    if [[ ${words[(r)explain]} == explain ]]; then _lorac_keys; "
                     "else _files; fi\n}\n"
                     "_lorac() {\n"
                     "    local -a verbs\n    verbs=(\n");
    for (size_t i = 0; i < n_verbs; i++) {
        lorac_buf_printf(b, "        '%s:", verbs[i]->name);
        zsh_text(b, verbs[i]->summary);
        lorac_buf_str(b, "'\n");
    }
    lorac_buf_str(b, "    )\n"
                     "    if ((CURRENT == 2)); then\n"
                     "        _describe verb verbs\n        return\n    fi\n"
                     "    shift words\n    ((CURRENT--))\n"
                     "    case $words[1] in\n");
    for (size_t i = 0; i < n_verbs; i++) {
        zsh_verb(b, verbs[i]);
    }
    lorac_buf_str(b, "    *) _files ;;\n    esac\n}\n_lorac \"$@\"\n");
}
