/* session.c - see session.h. */
#define _POSIX_C_SOURCE 200809L // getline, isatty
#include "tools/session.h"

#include <errno.h>
#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_POSITIONS = 4096, REMEMBERED = 500 };

/* ---- the base and its adapters ---- */

enum lorac_status session_open(struct session *s, const struct args *a, bool *usage,
                               struct lorac_err *err)
{
    *s = (struct session){.a = a,
                          .now = "the base",
                          .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
                          .as_json = args_has(a, "--json"),
                          .utf8 = draws_blocks()}; // before there are threads
    enum lorac_status st = read_sampling(&s->o, s->stops, a, err);
    *usage = st != LORAC_OK;
    if (st) { return st; }
    stop_on_signals();
    st = bench_open(&s->b, a, true, err);
    if (!st) {
        size_t most = s->b.model->config.max_positions;
        st = lorac_generator_new(&s->g, s->b.model, NULL,
                                 most < MAX_POSITIONS ? most : MAX_POSITIONS, 1, err);
        if (!st) { lorac_generator_keep(s->g); } // a chat's turns begin with those before
    }
    return st;
}

void session_close(struct session *s)
{
    lorac_generator_free(s->g);
    for (size_t i = 0; i < s->n_kept; i++) {
        lorac_adapter_free(s->kept[i].adapter);
        lorac_mem_free(s->kept[i].text);
    }
    s->b.stack.n = 0;
    bench_close(&s->b);
}

/* The adapter of this text, loaded where it was not used before; its index among the kept. */
static enum lorac_status keep(size_t *index, struct session *s, const char *text,
                              struct lorac_err *err)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        if (strcmp(s->kept[i].text, text) != 0) { continue; }
        *index = i;
        return LORAC_OK;
    }
    if (s->n_kept == SESSION_MOST_KEPT) {
        return lorac_fail(err, LORAC_EUSER, "at most %d adapters stay loaded", SESSION_MOST_KEPT);
    }
    struct session_kept *k = &s->kept[s->n_kept];
    enum lorac_status st =
        bench_adapter(&k->adapter, &k->scale, &s->b, text, args_has(s->a, "--force"), err);
    if (st) { return st; }
    k->text = lorac_mem_string(text, strlen(text));
    if (!k->text) {
        lorac_adapter_free(k->adapter);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter");
    }
    *index = s->n_kept++;
    return LORAC_OK;
}

enum lorac_status session_use(struct session *s, const char *adapter, bool quiet,
                              struct lorac_err *err)
{
    size_t i = 0;
    double begin = lorac_clock();
    size_t before = s->n_kept;
    struct lorac_stack stack = {0};
    enum lorac_status st = adapter ? keep(&i, s, adapter, err) : LORAC_OK;
    if (!st && adapter) {
        stack = (struct lorac_stack){1, {s->kept[i].adapter}, {s->kept[i].scale}};
        st = lorac_stack_check(&stack, err);
    }
    if (st) { return st; }
    s->b.stack = stack;
    st = lorac_generator_use(s->g, bench_socket(&s->b), err);
    if (st) { return st; }
    s->now = adapter ? s->kept[i].text : "the base";
    if (s->as_json || quiet) { return LORAC_OK; }
    printf("[%s answers, %s in %.2f ms; the base stays loaded]\n", s->now,
           s->n_kept > before ? "loaded" : "switched", 1e3 * (lorac_clock() - begin));
    return LORAC_OK;
}

enum lorac_status session_generate(struct lorac_buf *text, enum lorac_finish *finish,
                                   struct session *s, const struct lorac_ids *prompt,
                                   struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    lorac_buf_clear(text);
    enum lorac_status st = lorac_generate(&ids, text, finish, s->g, s->b.tokenizer, prompt->at,
                                          prompt->n, &s->o, show_generated, &s->as_json, err);
    if (!st && !s->as_json) { putchar('\n'); }
    if (!st) { note_nothing(&s->b, &ids, text, *finish); }
    lorac_ids_free(&ids);
    return st;
}

/* ---- commands ---- */

bool session_is(const char *line, const char *command, const char **rest)
{
    size_t n = strlen(command);
    if (strncmp(line, command, n) != 0 || (line[n] && line[n] != ' ')) { return false; }
    *rest = line + n + (line[n] == ' ');
    return true;
}

bool session_obeys(bool *end, struct session *s, const char *line, const char *help,
                   enum lorac_status *st, struct lorac_err *err)
{
    const char *rest = NULL;
    *st = LORAC_OK;
    if (session_is(line, "/quit", &rest)) {
        *end = true;
    } else if (session_is(line, "/base", &rest) && !*rest) {
        *st = session_use(s, NULL, false, err);
    } else if (session_is(line, "/adapter", &rest) && *rest) {
        *st = session_use(s, rest, false, err);
    } else if (session_is(line, "/help", &rest)) {
        fputs(help, stderr);
    } else {
        return false;
    }
    return true;
}

/* ---- lines ---- */

/* A terminal's, edited and remembered, or a script's. */
struct lines {
    EditLine *edit; // NULL: a script
    History *history;
    char *line;
    size_t size;
};

static char *prompt_of(EditLine *e)
{
    static char prompt[] = "> ";
    (void)e;
    return prompt;
}

static void begin_editing(struct lines *l)
{
    HistEvent event;
    l->edit = el_init("lorac", stdin, stdout, stderr);
    l->history = history_init();
    if (!l->edit || !l->history) { return; }
    (void)history(l->history, &event, H_SETSIZE, REMEMBERED);
    (void)el_set(l->edit, EL_PROMPT, prompt_of);
    (void)el_set(l->edit, EL_EDITOR, "emacs");
    (void)el_set(l->edit, EL_HIST, history, l->history);
    (void)el_source(l->edit, NULL); // the user's own ~/.editrc
}

static void end_editing(struct lines *l)
{
    if (l->history) { history_end(l->history); }
    if (l->edit) { el_end(l->edit); }
    free(l->line);
}

/* The next line in l->line, its length *n; false: there is none. A Ctrl-C gives up what was typed.
 */
static bool next_line(struct lines *l, size_t *n)
{
    HistEvent event;
    int length = 0;
    if (!l->edit) {
        ssize_t got = getline(&l->line, &l->size, stdin);
        *n = got < 0 ? 0 : (size_t)got;
        return got >= 0;
    }
    const char *line = el_gets(l->edit, &length);
    while (!line && stop_forget()) {
        fputs("\n[/quit or Ctrl-D ends]\n", stdout);
        el_reset(l->edit);
        line = el_gets(l->edit, &length);
    }
    if (!line || length <= 0) { return false; }
    *n = (size_t)length;
    free(l->line);
    l->line = malloc(*n + 1);
    if (!l->line) { return false; }
    memcpy(l->line, line, *n + 1);
    if (*n > 1) { (void)history(l->history, &event, H_ENTER, line); }
    return true;
}

int session_lines(struct session *s, session_obey *obey, void *self)
{
    struct lines l = {0};
    int code = 0;
    bool end = false;
    size_t n = 0;
    if (s->terminal) { begin_editing(&l); }
    while (!end && !stop_asked() && (code == 0 || s->terminal) && next_line(&l, &n)) {
        struct lorac_err err = {0};
        while (n > 0 && (l.line[n - 1] == '\n' || l.line[n - 1] == '\r')) {
            l.line[--n] = '\0';
        }
        if (n == 0) { continue; }
        if (strlen(l.line) != n) {
            (void)lorac_fail(&err, LORAC_EUSER, "a line holds a NUL byte");
            code = complain(&err);
            continue;
        }
        if (!s->terminal && !s->as_json) { printf("> %s\n", l.line); }
        code = obey(&end, self, l.line, &err) ? complain(&err) : 0;
        if (s->terminal && stop_forget()) { fputs("[stopped]\n", stdout); }
    }
    end_editing(&l);
    return !end && stop_asked() ? stop_code() : code;
}
