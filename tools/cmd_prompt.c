/* cmd_prompt.c - `lorac prompt`: prompts line by line on one loaded base, whose adapters change
 * meanwhile. */
#define _POSIX_C_SOURCE 200809L // getline, isatty
#include "tools/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_KEPT = 32, MAX_POSITIONS = 4096 };

/* An adapter that was used once stays loaded. */
struct kept {
    char *text; // as typed: DIR[:SCALE]
    struct lorac_adapter *adapter;
    float scale;
};

struct session {
    const struct args *a;
    struct bench b;
    struct lorac_generator *g;
    struct lorac_sampling o;
    const char *stops[MAX_GIVEN];
    struct kept kept[MAX_KEPT];
    size_t n_kept;
    const char *now; // what answers: an adapter as typed, or "the base"
    bool terminal, as_json;
};

static const char help[] =
    "  /adapter DIR[:SCALE]   answer with this adapter; the base stays loaded\n"
    "  /base                  answer with the base alone\n"
    "  /quit                  end (so does the end of the input)\n"
    "Any other line is a prompt; one that begins with '//' is a prompt that begins with '/'.\n";

/* The adapter of this text, loaded where it was not used before; its index among the kept. */
static enum lorac_status keep(size_t *index, struct session *s, const char *text,
                              struct lorac_err *err)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        if (strcmp(s->kept[i].text, text) != 0) { continue; }
        *index = i;
        return LORAC_OK;
    }
    if (s->n_kept == MAX_KEPT) {
        return lorac_fail(err, LORAC_EUSER, "at most %d adapters stay loaded", MAX_KEPT);
    }
    struct kept *k = &s->kept[s->n_kept];
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

/* Answer with these from now on: an adapter as typed, or NULL for the base. */
static enum lorac_status use(struct session *s, const char *text, struct lorac_err *err)
{
    size_t i = 0;
    double begin = lorac_clock();
    size_t before = s->n_kept;
    struct lorac_stack stack = {0};
    enum lorac_status st = text ? keep(&i, s, text, err) : LORAC_OK;
    if (!st && text) {
        stack = (struct lorac_stack){1, {s->kept[i].adapter}, {s->kept[i].scale}};
        st = lorac_stack_check(&stack, err);
    }
    if (st) { return st; }
    s->b.stack = stack;
    st = lorac_generator_use(s->g, bench_socket(&s->b), err);
    if (st) { return st; }
    s->now = text ? s->kept[i].text : "the base";
    if (s->as_json) { return LORAC_OK; }
    printf("[%s answers, %s in %.2f ms; the base stays loaded]\n", s->now,
           s->n_kept > before ? "loaded" : "switched", 1e3 * (lorac_clock() - begin));
    return LORAC_OK;
}

static enum lorac_status answer(struct session *s, const char *line, struct lorac_err *err)
{
    struct lorac_buf prompt = {0};
    struct lorac_ids given = {0};
    struct lorac_ids ids = {0};
    struct lorac_buf text = {0};
    enum lorac_finish finish = LORAC_FINISH_END;
    lorac_buf_str(&prompt, line);
    enum lorac_status st = prompt.no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory")
                                            : bench_prompt_of(&given, &s->b, s->a, &prompt, err);
    if (!st) {
        st = lorac_generate(&ids, &text, &finish, s->g, s->b.tokenizer, given.at, given.n, &s->o,
                            show_generated, &s->as_json, err);
    }
    if (!st && s->as_json) {
        struct out j = {0};
        out_text(&j, "adapter", s->now, strlen(s->now));
        out_text(&j, "prompt", line, strlen(line));
        out_text(&j, "text", text.at ? text.at : "", text.n);
        out_text(&j, "finish", lorac_finish_name(finish), strlen(lorac_finish_name(finish)));
        if (out_print(&j)) { st = lorac_fail(err, LORAC_EIO, "the answer could not be written"); }
    } else if (!st) {
        putchar('\n');
    }
    if (!st) { note_nothing(&s->b, &ids, &text, finish); }
    lorac_buf_free(&prompt);
    lorac_ids_free(&given);
    lorac_ids_free(&ids);
    lorac_buf_free(&text);
    return st;
}

/* One line: a command or a prompt. *end: asked to. */
static enum lorac_status obey(bool *end, struct session *s, const char *line, struct lorac_err *err)
{
    static const char adapter[] = "/adapter ";
    if (line[0] != '/' || line[1] == '/') { return answer(s, line + (line[0] == '/'), err); }
    *end = strcmp(line, "/quit") == 0;
    if (*end) { return LORAC_OK; }
    if (strcmp(line, "/base") == 0) { return use(s, NULL, err); }
    if (strncmp(line, adapter, sizeof adapter - 1) == 0) {
        return use(s, line + sizeof adapter - 1, err);
    }
    if (strcmp(line, "/help") == 0) {
        fputs(help, stderr);
        return LORAC_OK;
    }
    return lorac_fail(
        err, LORAC_EUSER,
        "%s: is no command (/adapter DIR[:SCALE], /base, /quit); a prompt that begins "
        "with '/' is written with two",
        line);
}

/* Until the end of the input. A line that fails is reported; on a terminal the session goes on. */
static int lines(struct session *s)
{
    char *line = NULL;
    size_t size = 0;
    int code = 0;
    bool end = false;
    while (!end && !stop_asked() && (code == 0 || s->terminal)) {
        struct lorac_err err = {0};
        if (s->terminal) {
            fputs("> ", stdout);
            (void)fflush(stdout);
        }
        ssize_t n = getline(&line, &size, stdin);
        if (n < 0) { break; }
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) {
            line[--n] = '\0';
        }
        if (n == 0) { continue; }
        if (strlen(line) != (size_t)n) {
            (void)lorac_fail(&err, LORAC_EUSER, "a line holds a NUL byte");
            code = complain(&err);
            continue;
        }
        if (!s->terminal && !s->as_json) { printf("> %s\n", line); }
        code = obey(&end, s, line, &err) ? complain(&err) : 0;
    }
    free(line);
    return !end && stop_asked() ? stop_code() : code;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct session s = {.a = a,
                        .now = "the base",
                        .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
                        .as_json = args_has(a, "--json")};
    if (read_sampling(&s.o, s.stops, a, &err)) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    stop_on_signals();
    enum lorac_status st = bench_open(&s.b, a, true, &err);
    if (!st) {
        size_t most = s.b.model->config.max_positions;
        st = lorac_generator_new(&s.g, s.b.model, NULL, most < MAX_POSITIONS ? most : MAX_POSITIONS,
                                 1, &err);
    }
    if (!st && s.terminal) { fputs(help, stdout); }
    int code = st ? complain(&err) : lines(&s);
    lorac_generator_free(s.g);
    for (size_t i = 0; i < s.n_kept; i++) {
        lorac_adapter_free(s.kept[i].adapter);
        lorac_mem_free(s.kept[i].text);
    }
    s.b.stack.n = 0;
    bench_close(&s.b);
    return code;
}

static const struct option options[] = {
    {"--model", "DIR", "the base model: a folder, or OWNER/NAME in the Hub's cache", true, false},
    {"--force", NULL, "take adapters of another base, or that change nothing", false, false},
    COMPUTE_OPTIONS,
    {"--raw", NULL, "prompt as typed, without the adapters' templates", false, false},
    SAMPLING_OPTIONS,
    {"--json", NULL, "print one JSON object an answer", false, false},
    {0},
};

const struct verb verb_prompt = {
    .name = "prompt",
    .usage = "--model DIR [options] < LINES",
    .summary = "prompt line by line, changing adapters on one loaded base",
    .about =
        "  lorac prompt --model DIR\n"
        "  > Once upon a time\n"
        "  > /adapter runs/sst2/best\n"
        "  > a fine film\n"
        "  > /base\n\n"
        "Each line of standard input is a prompt, or one of /adapter DIR[:SCALE], /base, /quit. "
        "The base is loaded once, adapters when they are first named. An adapter's template is "
        "filled with the line, as `lorac generate` does. In a script the first line that fails "
        "ends the session.\n",
    .options = options,
    .run = run,
};
