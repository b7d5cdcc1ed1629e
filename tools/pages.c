/* pages.c - see pages.h: the files, what completion offers, and man pages. */
#define _POSIX_C_SOURCE 200809L // gmtime_r
#include "tools/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- values ---- */

enum pages_value pages_value(const struct option *o)
{
    static const struct {
        const char *word;
        enum pages_value value;
    } kinds[] = {
        {"DIR", PAGES_DIR},           {"DIR[:SCALE]", PAGES_DIR}, {"FILE", PAGES_FILE},
        {"RECIPE|RUN", PAGES_FILE},   {"TYPE", PAGES_WORDS},      {"BOOL", PAGES_WORDS},
        {"KEY=VALUE", PAGES_SETTING}, {"KEY", PAGES_KEY},
    };
    if (!o->value) { return PAGES_NOTHING; }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(o->value, kinds[i].word) == 0) { return kinds[i].value; }
    }
    return strchr(o->value, '|') ? PAGES_WORDS : PAGES_TEXT;
}

const char *pages_words(char words[256], const struct option *o)
{
    if (strcmp(o->value, "TYPE") == 0) { return args_types(words, " "); }
    (void)snprintf(words, 256, "%s", strcmp(o->value, "BOOL") == 0 ? "true false" : o->value);
    for (char *s = words; *s; s++) {
        if (*s == '|') { *s = ' '; }
    }
    return words;
}

/* ---- man pages: macros of man(7) ---- */

/* Text as roff shows it: a hyphen is one to copy, a dot or a quote at a line's start no command.
 * `fill`: blanks may become ends of lines, which are to be short. */
static void put_roff(struct lorac_buf *b, const char *text, size_t n, bool fill)
{
    enum { LINE = 60 };
    size_t column = 0;
    for (size_t i = 0; i < n; i++) {
        char c = fill && text[i] == ' ' && column > LINE ? '\n' : text[i];
        const char *instead = c == '-'    ? "\\-"
                              : c == '\\' ? "\\e"
                              : c == '\'' ? "\\(aq"
                              : c == '"'  ? "\\(dq"
                              : c == '^'  ? "\\(ha"
                              : c == '~'  ? "\\(ti"
                              : c == '`'  ? "\\(ga"
                                          : NULL;
        if (column == 0 && c == '.') { lorac_buf_str(b, "\\&"); }
        if (instead) {
            lorac_buf_str(b, instead);
        } else {
            lorac_buf_add(b, &c, 1);
        }
        column = c == '\n' ? 0 : column + (instead ? strlen(instead) : 1);
    }
}

static void put_text(struct lorac_buf *b, const char *text)
{
    put_roff(b, text, strlen(text), true);
}

/* The day of the build, or of SOURCE_DATE_EPOCH, so that the same source gives the same pages. */
static void put_date(struct lorac_buf *b)
{
    const char *fixed = getenv("SOURCE_DATE_EPOCH");
    time_t now = fixed ? (time_t)strtoll(fixed, NULL, 10) : time(NULL);
    char day[32] = "";
    struct tm utc;
    if (gmtime_r(&now, &utc)) { (void)strftime(day, sizeof day, "%Y-%m-%d", &utc); }
    lorac_buf_str(b, day);
}

static void put_title(struct lorac_buf *b, const char *verb, const char *summary)
{
    lorac_buf_str(b, ".\\\" written by lorac \\-\\-pages\n.TH LORAC");
    for (const char *s = verb ? verb : ""; *s; s++) {
        const char upper = (char)(*s - 'a' + 'A');
        if (s == verb) { lorac_buf_str(b, "\\-"); }
        lorac_buf_add(b, &upper, 1);
    }
    lorac_buf_str(b, " 1 \"");
    put_date(b);
    lorac_buf_printf(b, "\" \"lorac %s\" \"User Commands\"\n.SH NAME\nlorac%s%s \\- ",
                     LORAC_VERSION, verb ? "\\-" : "", verb ? verb : "");
    put_text(b, summary);
    lorac_buf_str(b, "\n");
}

/* Lines that begin with a blank as they are, all others filled: as args_help() shows them. */
static void put_about(struct lorac_buf *b, const char *text)
{
    bool as_is = false;
    bool first = true;
    for (size_t n = 0; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        bool blank = *text == ' ';
        if (n == 0) { continue; }
        if (as_is && !blank) { lorac_buf_str(b, ".RE\n.fi\n"); }
        if (blank != as_is || (!blank && !first && text[-2] == '\n')) {
            lorac_buf_str(b, first ? "" : ".PP\n");
        }
        if (blank && !as_is) { lorac_buf_str(b, ".nf\n.RS\n"); }
        first = false;
        as_is = blank;
        size_t skip = blank ? strspn(text, " ") : 0;
        put_roff(b, text + skip, n - skip, !blank);
        lorac_buf_str(b, "\n");
    }
    if (as_is) { lorac_buf_str(b, ".RE\n.fi\n"); }
}

static void put_option(struct lorac_buf *b, const struct option *o)
{
    lorac_buf_str(b, ".TP\n\\fB");
    put_text(b, o->name);
    lorac_buf_str(b, "\\fR");
    if (o->value) {
        lorac_buf_str(b, " \\fI");
        put_text(b, o->value);
        lorac_buf_str(b, "\\fR");
    }
    lorac_buf_str(b, "\n");
    put_text(b, o->help);
    lorac_buf_printf(b, "%s%s\n", o->required ? "\n(required)" : "",
                     o->many ? "\n(may be repeated)" : "");
}

static const char exits[] = ".SH EXIT STATUS\n"
                            "0 success, 1 failed, 2 wrong usage,\n"
                            "130 or 143 stopped by a signal with all saved.\n";

static void man_program(struct lorac_buf *b, const struct verb *const *verbs, size_t n_verbs)
{
    put_title(b, NULL, "LoRA fine-tuning of pretrained transformers");
    lorac_buf_str(b, ".SH SYNOPSIS\n.B lorac\n.I VERB\n\\&...\n.SH DESCRIPTION\n"
                     "Each verb has a page of its own, and shows its options with "
                     "\\fB\\-\\-help\\fR.\n.SH VERBS\n");
    for (size_t i = 0; i < n_verbs; i++) {
        lorac_buf_printf(b, ".TP\n.BR lorac\\-%s (1)\n", verbs[i]->name);
        put_text(b, verbs[i]->summary);
        lorac_buf_str(b, "\n");
    }
    lorac_buf_str(b, ".SH OPTIONS\n.TP\n\\fB\\-\\-help\\fR\nlist the verbs\n"
                     ".TP\n\\fB\\-\\-version\\fR\nsay which version it is\n");
    lorac_buf_str(b,
                  ".SH ENVIRONMENT\n.TP\n.B LORAC_BACKEND\nwhat computes: cpu (default), or ref, "
                  "plain loops in double, slow\n.TP\n.B OMP_NUM_THREADS\nthreads, where neither "
                  "option nor recipe says\n.TP\n.B HF_HUB_CACHE, HF_HOME\nwhere models of the Hub "
                  "lie\n");
    lorac_buf_str(b, exits);
}

static void man_verb(struct lorac_buf *b, const struct verb *v)
{
    put_title(b, v->name, v->summary);
    lorac_buf_printf(b, ".SH SYNOPSIS\n.B lorac %s\n", v->name);
    put_text(b, v->usage);
    lorac_buf_str(b, "\n");
    if (v->about) {
        lorac_buf_str(b, ".SH DESCRIPTION\n");
        put_about(b, v->about);
    }
    lorac_buf_str(b, ".SH OPTIONS\n");
    for (const struct option *o = v->options; o->name; o++) {
        put_option(b, o);
    }
    lorac_buf_str(b, ".TP\n\\fB\\-\\-help\\fR\nshow the options\n");
    lorac_buf_str(b, exits);
    lorac_buf_str(b, ".SH SEE ALSO\n.BR lorac (1)\n");
}

void pages_man(struct lorac_buf *b, const struct verb *verb, const struct verb *const *verbs,
               size_t n_verbs)
{
    if (verb) {
        man_verb(b, verb);
    } else {
        man_program(b, verbs, n_verbs);
    }
}

/* ---- files ---- */

/* DIR/PART/NAME with what is in `b`, which is emptied. */
static enum lorac_status put_file(const char *dir, const char *part, const char *name,
                                  struct lorac_buf *b, struct lorac_err *err)
{
    char folder[LORAC_PATH];
    char path[LORAC_PATH];
    enum lorac_status st = LORAC_OK;
    lorac_path_in(path, lorac_path_in(folder, dir, part), name);
    if (b->no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    if (!st) { st = lorac_dir_make(folder, err); }
    if (!st) { st = lorac_file_write(path, b->at, b->n, err); }
    lorac_buf_clear(b);
    return st;
}

enum lorac_status pages_write(const char *dir, const struct verb *const *verbs, size_t n_verbs,
                              struct lorac_err *err)
{
    struct lorac_buf b = {0};
    enum lorac_status st = lorac_path_exists(dir) ? LORAC_OK : lorac_dir_make(dir, err);
    pages_man(&b, NULL, verbs, n_verbs);
    if (!st) { st = put_file(dir, "man1", "lorac.1", &b, err); }
    for (size_t i = 0; i < n_verbs && !st; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "lorac-%s.1", verbs[i]->name);
        pages_man(&b, verbs[i], verbs, n_verbs);
        st = put_file(dir, "man1", name, &b, err);
    }
    pages_bash(&b, verbs, n_verbs);
    if (!st) { st = put_file(dir, "bash", "lorac", &b, err); }
    pages_zsh(&b, verbs, n_verbs);
    if (!st) { st = put_file(dir, "zsh", "_lorac", &b, err); }
    lorac_buf_free(&b);
    return st;
}
