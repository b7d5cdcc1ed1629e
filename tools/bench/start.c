/*
 * start.c - lorac_bench start: from the start of the program to the first finished step of a
 * recipe, less a step; to the first token of a model; each in a process of its own.
 */
#define _DEFAULT_SOURCE // wait4
#include "tools/bench/bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS = 4, MOST_WORDS = 48 };
struct start {
    char *program; // lorac
    size_t rounds;
    const char *recipe, *model, *threads;
    struct series first_step, step, first_token; // seconds
    size_t step_peak, token_peak;
};

/* From here on this process is the program, and what it says on stderr is in the file `said`. */
static _Noreturn void become(const char *const *words, const char *said)
{
    union {
        const char *const *given;
        char *const *words; // execv changes nothing
    } as = {.given = words};
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int file = open(said, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    (void)dup2(nothing, STDOUT_FILENO);
    (void)dup2(file, STDERR_FILENO);
    execv(words[0], as.words);
    _exit(127);
}

/* What it said last is the reason. */
static enum lorac_status fail_program(const char *const *words, const char *said,
                                      struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    struct lorac_err ignored;
    if (lorac_file_read(&text, &n, said, 1 << 20, &ignored)) { text = NULL; }
    while (text && n && text[n - 1] == '\n') {
        text[--n] = '\0';
    }
    const char *line = text ? strrchr(text, '\n') : NULL;
    const char *why = line ? line + 1 : text;
    enum lorac_status st = lorac_fail(err, LORAC_EUSER, "%s %s failed: %s", words[0], words[1],
                                      why && *why ? why : "it says nothing");
    lorac_mem_free(text);
    return st;
}

static enum lorac_status run_program(double *seconds, size_t *peak, const char *const *words,
                                     const char *dir, struct lorac_err *err)
{
    char said[540];
    int status = 0;
    struct rusage used = {0};
    (void)snprintf(said, sizeof said, "%s/said", dir);
    double begin = lorac_clock();
    pid_t child = fork();
    if (child == 0) { become(words, said); }
    if (child < 0 || wait4(child, &status, 0, &used) != child) {
        return lorac_fail(err, LORAC_EIO, "%s cannot be started", words[0]);
    }
    *seconds = lorac_clock() - begin;
    *peak = (size_t)used.ru_maxrss * 1024;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) { return LORAC_OK; }
    return fail_program(words, said, err);
}

/* Where column k of a line begins; NULL: it has fewer. */
static const char *column(const char *line, size_t k)
{
    while (line && k--) {
        line = strpbrk(line, ",\n");
        line = line && *line == ',' ? line + 1 : NULL;
    }
    return line;
}

/* The column `seconds` of a run's metrics.csv: of the steps in their order. */
static enum lorac_status read_steps(double seconds[STEPS], const char *dir, struct lorac_err *err)
{
    char path[LORAC_PATH];
    char *text = NULL;
    size_t n = 0;
    size_t found = 0;
    size_t k = 0;
    lorac_path_in(path, dir, "metrics.csv");
    enum lorac_status st = lorac_file_read(&text, &n, path, 1 << 20, err);
    while (!st && column(text, k) && strncmp(column(text, k), "seconds", 7) != 0) {
        k++;
    }
    for (const char *line = text; !st && line && found < STEPS; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *train = strstr(line, ",train,");
        const char *end = strchr(line, '\n');
        const char *value = column(line, k);
        if (train && train < end && value) { seconds[found++] = strtod(value, NULL); }
    }
    if (!st && found < STEPS) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: found %zu steps, expected %d", path, found, STEPS);
    }
    lorac_mem_free(text);
    return st;
}

static enum lorac_status first_step(struct start *x, const char *dir, struct lorac_err *err)
{
    char run[512];
    char output[540];
    char threads[64];
    double took = 0.0;
    double seconds[STEPS];
    size_t peak = 0;
    (void)snprintf(run, sizeof run, "%s/run", dir);
    (void)snprintf(output, sizeof output, "output.dir=%s", run);
    (void)snprintf(threads, sizeof threads, "train.threads=%s",
                   strcmp(x->threads, "0") == 0 ? "auto" : x->threads);
    static const char *const unset[] = {"data.valid",
                                        "train.epochs",
                                        "eval.metrics",
                                        "eval.best",
                                        "eval.early_stop.metric",
                                        "eval.early_stop.patience",
                                        "eval.early_stop.min_delta"};
    const char *words[MOST_WORDS] = {x->program, "train",
                                     x->recipe,  "--overwrite",
                                     "--set",    output,
                                     "--set",    threads,
                                     "--set",    "train.steps=4",
                                     "--set",    "eval.every=end",
                                     "--set",    "output.save_every=end",
                                     "--set",    "output.log=[csv]"};
    size_t n = 16;
    for (size_t i = 0; i < sizeof unset / sizeof unset[0]; i++) {
        words[n++] = "--unset";
        words[n++] = unset[i];
    }
    enum lorac_status st = run_program(&took, &peak, words, dir, err);
    if (!st) { st = read_steps(seconds, run, err); }
    if (st) { return st; }
    struct series later = {0};
    for (size_t i = 1; i < STEPS; i++) {
        series_add(&later, seconds[i]);
        took -= seconds[i];
    }
    series_add(&x->step, series_median(&later));
    series_add(&x->first_step, took - series_median(&later));
    if (peak > x->step_peak) { x->step_peak = peak; }
    return LORAC_OK;
}

static enum lorac_status first_token(struct start *x, const char *dir, struct lorac_err *err)
{
    double took = 0.0;
    size_t peak = 0;
    const char *words[] = {
        x->program,     "generate", "--model",   x->model,   "--prompt", "Once upon a time",
        "--max-tokens", "1",        "--threads", x->threads, NULL};
    enum lorac_status st = run_program(&took, &peak, words, dir, err);
    if (st) { return st; }
    series_add(&x->first_token, took);
    if (peak > x->token_peak) { x->token_peak = peak; }
    return LORAC_OK;
}

static enum lorac_status measure(struct start *x, struct lorac_err *err)
{
    char *dir = NULL;
    enum lorac_status st = temporary_dir(&dir, err);
    for (size_t i = 0; i <= x->rounds && !st; i++) { // the first brings files into the page cache
        if (i == 1) { x->first_step.n = x->step.n = x->first_token.n = 0; }
        if (x->recipe) { st = first_step(x, dir, err); }
        if (!st && x->model) { st = first_token(x, dir, err); }
    }
    struct lorac_err ignored;
    if (dir) { (void)!lorac_dir_remove(dir, &ignored); }
    lorac_mem_free(dir);
    return st;
}

static void tell_json(const struct start *x)
{
    struct out j = {0};
    char cpu[64];
    lorac_machine_cpu(cpu);
    out_str(&j, "cpu", cpu);
    out_str(&j, "threads", x->threads);
    out_str(&j, "lorac", LORAC_VERSION);
    out_count(&j, "rounds", x->rounds);
    if (x->recipe) {
        out_series(&j, "first_step_seconds", &x->first_step);
        out_series(&j, "step_seconds", &x->step);
        out_count(&j, "step_peak_bytes", x->step_peak);
    }
    if (x->model) {
        out_series(&j, "first_token_seconds", &x->first_token);
        out_count(&j, "token_peak_bytes", x->token_peak);
    }
    (void)out_print(&j);
}

static void tell_one(const char *what, const struct series *s, size_t peak)
{
    char bytes[32];
    printf("%-36s %6.3f s (%.3f - %.3f), peak %s\n", what, series_median(s), series_least(s),
           series_most(s), show_bytes(bytes, peak));
}

static void tell(const struct start *x)
{
    if (x->recipe) {
        tell_one("to the first finished step, less one", &x->first_step, x->step_peak);
        tell_one("a step", &x->step, x->step_peak);
    }
    if (x->model) { tell_one("to the first token, and the end", &x->first_token, x->token_peak); }
}

/* lorac beside this program, as both are built. */
static char *beside(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) { return NULL; }
    path[n] = '\0';
    char *dir = lorac_path_dir(path);
    char *program = dir ? lorac_path_join(dir, "lorac") : NULL;
    lorac_mem_free(dir);
    return program;
}

static int run(const struct args *a)
{
    static struct start x;
    struct lorac_err err = {0};
    int threads = 0;
    const char *program = args_text(a, "--lorac", NULL);
    x.recipe = args_text(a, "--recipe", NULL);
    x.model = args_text(a, "--model", NULL);
    x.threads = args_text(a, "--threads", "0");
    x.program = program ? lorac_mem_string(program, strlen(program)) : beside();
    enum lorac_status st = rounds_of(&x.rounds, &threads, a, &err);
    if (!st && !x.program) { st = lorac_fail(&err, LORAC_EUSER, "--lorac says where lorac is"); }
    if (!st && !x.recipe && !x.model) {
        st = lorac_fail(&err, LORAC_EUSER, "--recipe or --model says what is to be started");
    }
    if (!st) { st = measure(&x, &err); }
    if (!st) { (args_has(a, "--json") ? tell_json : tell)(&x); }
    lorac_mem_free(x.program);
    return bench_end(st, &err);
}

static const struct option options[] = {
    {"--recipe", "FILE", "whose first step is waited for", false, false},
    {"--model", "DIR", "whose first token is waited for", false, false},
    {"--lorac", "FILE", "the program (default: lorac, beside this one)", false, false},
    BENCH_OPTIONS,
    {0},
};
const struct verb verb_bench_start = {
    .program = "lorac_bench",
    .name = "start",
    .usage = "--recipe FILE | --model DIR [options]",
    .summary = "from the start of lorac to its first step, to its first token",
    .about = "`lorac train` runs four steps of the recipe, without evaluation: its time but for "
             "the last three steps, less a step (saving at its end counts). `lorac generate` runs "
             "one token. A first run, which brings files into memory, does not count.\n\n"
             "  lorac_bench start --recipe recipes/shop_intent.yaml --model base/models/small",
    .options = options,
    .run = run,
};
