/*
 * cmd_sweep.c - `lorac sweep`: a recipe's trials, one after another or several at a time.
 *
 * One at a time they are run in this process. With --jobs each is run in a child of its own, which
 * is made before anything computes and so has the base and the rows that this process opened: a
 * trial that dies takes none with it, and no two wait for one another's locks or threads. Processes
 * that mpirun started share the trials, and meet where a round of them ends.
 */
#define _DEFAULT_SOURCE // fork, kill
#include "tools/board.h"
#include "tools/cmd_recipes.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#    include <sys/prctl.h>
#endif

enum { MAX_JOBS = 256, CHILD_FAILED = 1, CHILD_STOPPED = 3 };

struct sweep_job { // of --jobs
    pid_t pid;     // 0: none
    size_t trial;
    double began;
};

struct sweep_screen {
    struct lorac_sweep *s;
    struct lorac_trial_look *look; // (s->n)
    struct lorac_sweep_queue *queue;
    struct lorac_sweep_share share; // that is run here
    struct lorac_shared *shared;
    struct status_line line;
    struct lorac_buf told; // notes that were shown, a line each
    size_t trial;          // that runs
    size_t before;         // its steps when it began
    size_t steps;          // done in this session, and
    double seconds;        // what they took
    size_t jobs, failed;
    pid_t parent; // in a child; else 0
};

/* ---- what is shown ---- */

/* Has every trial this value? Then it tells none from another. */
static bool is_common(const struct lorac_sweep *s, const struct lorac_recipe_pair *p)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct lorac_recipe_map *m = &s->trial[i].settings;
        size_t k = 0;
        while (k < m->n && strcmp(m->at[k].key, p->key) != 0) {
            k++;
        }
        if (k == m->n || strcmp(m->at[k].value, p->value) != 0) { return false; }
    }
    return s->n > 1;
}

static void add_settings(struct lorac_buf *b, const struct lorac_sweep *s, size_t i)
{
    const struct lorac_recipe_map *m = &s->trial[i].settings;
    const char *between = "";
    for (size_t k = 0; k < m->n; k++) {
        if (is_common(s, &m->at[k])) { continue; }
        lorac_buf_printf(b, "%s%s %s", between, m->at[k].key, m->at[k].value);
        between = ", ";
    }
}

static size_t ended(const struct sweep_screen *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->s->n; i++) {
        n += x->look[i].ended;
    }
    return n;
}

static void say_start(const struct sweep_screen *x)
{
    char part[80] = "";
    if (world()) {
        (void)snprintf(part, sizeof part, "; those of rank 0 of %zu are told here", x->share.of);
    } else if (x->share.of > 1) {
        (void)snprintf(part, sizeof part, "; part %zu of %zu of them is run here",
                       x->share.first + 1, x->share.of);
    }
    fprintf(stderr, "%zu trials, %zu of them ended, into %s%s\n", x->s->n, ended(x), x->s->dir,
            part);
}

/* Seconds that all trials that are known to go on will take; of which `done` steps are done. */
static double seconds_left(const struct sweep_screen *x, size_t done, double seconds)
{
    size_t left = lorac_sweep_steps_left(x->queue);
    left -= done < left ? done : left;
    size_t steps = x->steps + done;
    if (!steps) { return (double)NAN; }
    return (x->seconds + seconds) / (double)steps * (double)left / (double)x->jobs;
}

static void on_begin(void *self, const struct lorac_run_begin *b)
{
    ((struct sweep_screen *)self)->before = b->first_step;
}

static void on_step(void *self, const struct lorac_step *s)
{
    struct sweep_screen *x = self;
    char text[200];
    char left[32];
    char all[32];
    size_t done = s->step - x->before;
    double spent = s->step < s->steps ? s->remaining / (double)(s->steps - s->step) * (double)done
                                      : s->seconds * (double)done;
    (void)snprintf(text, sizeof text,
                   "trial %zu/%zu  step %zu/%zu  loss %.4f  %s left  %s of all trials",
                   x->trial + 1, x->s->n, s->step, s->steps, s->loss, show_time(left, s->remaining),
                   show_time(all, seconds_left(x, done, spent)));
    status_show(&x->line, text, false);
}

/* What is said of several trials is said once. */
static void on_note(void *self, const char *text)
{
    struct sweep_screen *x = self;
    if (x->told.at && strstr(x->told.at, text)) { return; }
    lorac_buf_printf(&x->told, "%s\n", text);
    status_clear(&x->line);
    show_wrapped(stderr, "note: ", text);
}

static bool on_stop(void *self)
{
    const struct sweep_screen *x = self;
    return stop_asked() || (x->parent && getppid() != x->parent);
}

static const char *metric_of(const struct lorac_sweep *s)
{
    return lorac_metric_name(s->objective.metric - 1);
}

/* "003-1a2b3c4d  accuracy 0.9375 at step 80  0:12  (5 of 12 ended, 1:10 left)" */
static void say_trial(struct sweep_screen *x, size_t i, double seconds)
{
    double score = 0.0;
    size_t step = 0;
    char time[32];
    struct lorac_buf b = {0};
    if (lorac_trial_score(&score, &step, x->s, i, SIZE_MAX, NULL)) { score = (double)NAN; }
    status_clear(&x->line);
    if (!isnan(score)) {
        lorac_buf_printf(&b, "%s %.4f at step %zu  ", metric_of(x->s), score, step);
    }
    if (!x->look[i].ended) { lorac_buf_printf(&b, "paused after step %zu  ", x->look[i].done); }
    lorac_buf_printf(&b, "%s  (%zu of %zu ended", show_time(time, seconds), ended(x), x->s->n);
    double left = seconds_left(x, 0, 0.0);
    if (!isnan(left) && left > 0.0) { lorac_buf_printf(&b, ", %s left", show_time(time, left)); }
    fprintf(stderr, "%s  %s)\n", x->s->trial[i].name, b.at ? b.at : "");
    lorac_buf_free(&b);
}

static void say_failure(struct sweep_screen *x, size_t i, const char *why)
{
    status_clear(&x->line);
    fprintf(stderr, "%s  failed: %s\n", x->s->trial[i].name, why);
    x->failed++;
}

/* ---- running ---- */

static enum lorac_status run_one(struct lorac_run_result *result, struct sweep_screen *x, size_t i,
                                 size_t until, struct lorac_err *err)
{
    const struct lorac_run_watch watch = {
        .self = x,
        .begin = on_begin,
        .step = x->parent ? NULL : on_step,
        .note = on_note,
        .stop = on_stop,
    };
    x->trial = i;
    return lorac_trial_run(result, x->s, i, until, x->shared, &watch, err);
}

static void say_begin(const struct sweep_screen *x, size_t i)
{
    struct lorac_buf b = {0};
    char front[64];
    (void)snprintf(front, sizeof front, "%s  ", x->s->trial[i].name);
    add_settings(&b, x->s, i);
    show_wrapped(stderr, front, b.at ? b.at : "");
    lorac_buf_free(&b);
}

/* A trial is back, after `seconds`. */
static enum lorac_status back(struct sweep_screen *x, size_t i, double seconds, bool failed,
                              struct lorac_err *err)
{
    size_t before = x->look[i].done;
    enum lorac_status st = lorac_sweep_give_back(x->queue, i, failed, err);
    if (st || failed) { return st; }
    size_t now = x->look[i].ended ? x->look[i].steps : x->look[i].done;
    x->steps += now > before ? now - before : 0;
    x->seconds += seconds;
    say_trial(x, i, seconds);
    return LORAC_OK;
}

static enum lorac_status run_in_turn(struct sweep_screen *x, struct lorac_err *err)
{
    size_t i = 0;
    size_t until = 0;
    enum lorac_status st = LORAC_OK;
    while (!st && lorac_sweep_take(&i, &until, x->queue)) {
        struct lorac_run_result result;
        struct lorac_err why = {0};
        double began = lorac_clock();
        if (stop_asked()) { return lorac_fail(err, LORAC_ESTOP, "stopped"); }
        say_begin(x, i);
        enum lorac_status one = run_one(&result, x, i, until, &why);
        if (one == LORAC_ESTOP) { return lorac_fail(err, one, "%s", why.text); }
        if (one) { say_failure(x, i, why.text); }
        st = back(x, i, lorac_clock() - began, one != LORAC_OK, err);
    }
    return st;
}

/* In a child: the trial, and how it ended as exit code. */
static void child(struct sweep_screen *x, size_t i, size_t until, pid_t parent)
{
    struct lorac_run_result result;
    struct lorac_err why = {0};
    x->parent = parent;
#ifdef __linux__ // it ends with the sweep, however that ends; elsewhere after its step (on_stop)
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    enum lorac_status st = run_one(&result, x, i, until, &why);
    if (st && st != LORAC_ESTOP) { fprintf(stderr, "%s  %s\n", x->s->trial[i].name, why.text); }
    (void)fflush(NULL);
    _exit(st == LORAC_ESTOP ? CHILD_STOPPED : st ? CHILD_FAILED : 0);
}

static enum lorac_status begin_child(struct sweep_screen *x, struct sweep_job *j, size_t i,
                                     size_t until, struct lorac_err *err)
{
    pid_t parent = getpid();
    say_begin(x, i);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) { return lorac_fail(err, LORAC_EIO, "cannot make a process for a trial"); }
    if (pid == 0) { child(x, i, until, parent); }
    *j = (struct sweep_job){pid, i, lorac_clock()};
    return LORAC_OK;
}

/* One of the children has ended. */
static enum lorac_status end_child(struct sweep_screen *x, struct sweep_job *j, int status,
                                   struct lorac_err *err)
{
    size_t i = j->trial;
    bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    bool stopped = WIFEXITED(status) && WEXITSTATUS(status) == CHILD_STOPPED;
    j->pid = 0;
    if (stopped) { return LORAC_OK; } // the sweep ends, and the trial waits for the next one
    if (WIFSIGNALED(status)) {
        char why[80];
        (void)snprintf(why, sizeof why, "its process was killed by signal %d", WTERMSIG(status));
        say_failure(x, i, why);
        enum lorac_status st = lorac_trial_failed(x->s, i, why, err);
        if (st) { return st; }
    } else if (!well) {
        say_failure(x, i, "see above");
    }
    return back(x, i, lorac_clock() - j->began, !well, err);
}

/* The first of the children that ends; where a signal asks to stop, they hear of it. */
static struct sweep_job *wait_for_one(struct sweep_job *jobs, size_t n, int *status, bool *told)
{
    for (;;) {
        if (stop_asked() && !*told) {
            for (size_t k = 0; k < n; k++) {
                if (jobs[k].pid) { (void)kill(jobs[k].pid, SIGTERM); }
            }
            *told = true;
        }
        pid_t pid = waitpid(-1, status, 0);
        for (size_t k = 0; k < n && pid > 0; k++) {
            if (jobs[k].pid == pid) { return &jobs[k]; }
        }
        if (pid < 0 && errno != EINTR) { return NULL; }
    }
}

static enum lorac_status run_beside(struct sweep_screen *x, struct lorac_err *err)
{
    struct sweep_job jobs[MAX_JOBS] = {0};
    enum lorac_status st = LORAC_OK;
    bool told = false;
    for (;;) {
        size_t running = 0;
        for (size_t k = 0; k < x->jobs; k++) {
            size_t i = 0;
            size_t until = 0;
            bool may = !jobs[k].pid && !st && !stop_asked();
            if (may && lorac_sweep_take(&i, &until, x->queue)) {
                st = begin_child(x, &jobs[k], i, until, err);
            }
            running += jobs[k].pid != 0;
        }
        if (!running) { break; }
        int status = 0;
        struct sweep_job *j = wait_for_one(jobs, x->jobs, &status, &told);
        if (!j) { return lorac_fail(err, LORAC_EIO, "the processes of the trials are lost"); }
        enum lorac_status one = end_child(x, j, status, st ? NULL : err);
        st = st ? st : one;
    }
    return st || !stop_asked() ? st : lorac_fail(err, LORAC_ESTOP, "stopped");
}

/* Rounds, until all trials have ended or are left behind. */
static enum lorac_status run_rounds(struct sweep_screen *x, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (bool more = true; more && !st;) {
        st = x->jobs == 1 ? run_in_turn(x, err) : run_beside(x, err);
        if (world()) { status_show(&x->line, "waiting for the trials of the other ranks", true); }
        st = lorac_ranks_agree(world(), st, err);
        status_clear(&x->line);
        if (!st) { st = lorac_sweep_next_round(&more, x->queue, err); }
        st = lorac_ranks_agree(world(), st, err); // none begins while another reads how all ended
    }
    return st;
}

/* ---- --list ---- */

/* Those of --shard; ranks show all. */
static bool is_listed(const struct sweep_screen *x, size_t trial)
{
    return world() || lorac_sweep_shares(&x->share, trial);
}

static void print_list(const struct sweep_screen *x)
{
    const struct lorac_sweep *s = x->s;
    double all = 0.0;
    char text[2][32];
    printf("%-14s %7s %10s %9s  %s\n", "trial", "steps", "memory", "time", "changes");
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct lorac_trial_look *l = &x->look[i];
        struct lorac_buf b = {0};
        if (!is_listed(x, i)) { continue; }
        n++;
        add_settings(&b, s, i);
        printf("%-14s %7zu %10s %9s  %s%s\n", s->trial[i].name, l->steps,
               show_bytes(text[0], l->bytes), show_time(text[1], l->seconds), b.at ? b.at : "",
               l->ended ? "  (has ended)" : "");
        all += l->ended ? 0.0 : l->seconds;
        lorac_buf_free(&b);
    }
    printf("%zu trials, about %s one after another\n", n, show_time(text[0], all));
}

static void print_list_json(const struct sweep_screen *x)
{
    const struct lorac_sweep *s = x->s;
    struct out j = {0};
    out_begin(&j, "trials", "[]");
    for (size_t i = 0; i < s->n; i++) {
        if (!is_listed(x, i)) { continue; }
        out_begin(&j, NULL, "{}");
        const struct lorac_recipe_map *m = &s->trial[i].settings;
        out_str(&j, "trial", s->trial[i].name);
        out_begin(&j, "changes", "{}");
        for (size_t k = 0; k < m->n; k++) {
            out_str(&j, m->at[k].key, m->at[k].value);
        }
        out_end(&j);
        out_count(&j, "steps", x->look[i].steps);
        out_count(&j, "bytes", x->look[i].bytes);
        out_real(&j, "seconds", x->look[i].seconds);
        out_bool(&j, "ended", x->look[i].ended);
        out_end(&j);
    }
    out_end(&j);
    (void)out_print(&j);
}

/* ---- the verb ---- */

/* "2/3" is the second third; without a word of it each rank has its share. */
static enum lorac_status read_share(struct lorac_sweep_share *out, const struct args *a,
                                    struct lorac_err *err)
{
    const char *text = args_text(a, "--shard", NULL);
    *out = (struct lorac_sweep_share){lorac_ranks_rank(world()), lorac_ranks_count(world())};
    if (!text) { return LORAC_OK; }
    if (world()) {
        return lorac_fail(err, LORAC_EUSER,
                          "--shard and mpirun exclude each other: each rank has its share");
    }
    char *end = NULL;
    unsigned long i = strtoul(text, &end, 10);
    unsigned long n =
        *end == '/' && end[1] >= '1' && end[1] <= '9' ? strtoul(end + 1, &end, 10) : 0;
    if (*end || i < 1 || i > n || n > LORAC_SWEEP_MAX_TRIALS) {
        return lorac_fail(err, LORAC_EUSER, "--shard %s: expected I/N, as in 1/3, 2/3 and 3/3",
                          text);
    }
    *out = (struct lorac_sweep_share){i - 1, n};
    return LORAC_OK;
}

/* What each device may compute with: this process's threads, or those of the recipe, divided. */
static size_t threads_of(const struct lorac_sweep *s, size_t jobs)
{
    size_t all = s->trial[0].recipe->train.threads;
    if (jobs == 1) { return 0; }
    if (!all) { all = (size_t)lorac_start_default(); }
    return all / jobs ? all / jobs : 1;
}

static enum lorac_status open_sweep(struct lorac_sweep **out, const struct args *a,
                                    struct lorac_err *err)
{
    struct lorac_recipe_set sets[MAX_GIVEN];
    struct lorac_recipe_errors errors = {0};
    size_t n = recipe_sets(sets, a);
    enum lorac_status st = lorac_sweep_open(out, a->positional[0], sets, n, &errors, err);
    recipe_errors(&errors, st, err);
    lorac_recipe_errors_free(&errors);
    return st;
}

/* All of it; x->failed: how many trials did. */
static enum lorac_status go(struct sweep_screen *x, struct lorac_err *err)
{
    bool first = lorac_ranks_rank(world()) == 0;
    if (!world() && x->share.of > 1 && x->s->strategy.kind == LORAC_SWEEP_HALVING) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: strategy: halving compares all trials, so it takes no part of them",
                          x->s->strategy_at);
    }
    enum lorac_status st = first ? lorac_sweep_claim(x->s, err) : LORAC_OK;
    st = lorac_ranks_agree(world(), st, err); // no trial has begun before all have looked at them
    if (!st) { st = lorac_sweep_queue_new(&x->queue, x->s, x->look, &x->share, err); }
    if (!st) {
        say_start(x);
        st = run_rounds(x, err);
    }
    if (st == LORAC_ESTOP) {
        fprintf(stderr, "stopped; everything is saved, and the same command goes on\n");
    }
    double failed = (double)x->failed;
    st = lorac_ranks_add(&failed, 1, world(), st, err);
    x->failed = (size_t)failed;
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct sweep_screen x = {.jobs = 1};
    bool lists = args_has(a, "--list");
    bool as_json = args_has(a, "--json");
    status_begin(&x.line);
    enum lorac_status st = args_count(&x.jobs, a, "--jobs", &err);
    if (!st && (x.jobs < 1 || x.jobs > MAX_JOBS)) {
        st = lorac_fail(&err, LORAC_EUSER, "--jobs must be from 1 to %d", MAX_JOBS);
    }
    if (!st) { st = read_share(&x.share, a, &err); }
    if (st) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    st = open_sweep(&x.s, a, &err);
    if (!st) { st = lorac_shared_new(&x.shared, threads_of(x.s, x.jobs), &err); }
    if (!st) {
        x.look = lorac_mem_new(x.s->n, sizeof *x.look);
        if (!x.look) { st = lorac_fail(&err, LORAC_ENOMEM, "no memory for a sweep"); }
    }
    stop_on_signals();
    bool first = lorac_ranks_rank(world()) == 0;
    if (!st) { st = lorac_sweep_check(x.look, x.s, x.shared, lists && first, &err); }
    if (!st && lists && as_json) { print_list_json(&x); }
    if (!st && lists && !as_json) { print_list(&x); }
    if (!st && !lists) { st = go(&x, &err); }
    int code = st == LORAC_ESTOP ? stop_code() : st ? complain(&err) : x.failed ? EXIT_FAILED : 0;
    if (!st && !lists && first) {
        static const struct lorac_board_options as_the_sweep_says = {0};
        const char *dir = x.s->dir;
        int shown =
            board_print(&dir, 1, &as_the_sweep_says, as_json ? BOARD_JSON : BOARD_TABLE, true);
        code = code ? code : shown;
    }
    lorac_sweep_queue_free(x.queue);
    lorac_shared_free(x.shared);
    lorac_mem_free(x.look);
    lorac_sweep_free(x.s);
    lorac_buf_free(&x.told);
    return code;
}

static const struct option options[] = {
    RECIPE_OPTIONS,
    {"--list", NULL, "show trials (of --shard), steps, memory and time, and run none", false,
     false},
    {"--jobs", "N", "trials at a time, each with its part of the threads (default: 1)", false,
     false},
    {"--shard", "I/N", "run only the I-th of N parts of the trials", false, false},
    {"--json", NULL, "print the result as one JSON object", false, false},
    {0},
};

const struct verb verb_sweep = {
    .name = "sweep",
    .usage = "FILE [--list] [--jobs N] [--shard I/N] [--set KEY=VALUE]...",
    .summary = "try values of a recipe's keys, and compare what comes of them",
    .about =
        "  lorac sweep recipes/shop_intent_sweep.yaml --list\n"
        "  lorac sweep recipes/shop_intent_sweep.yaml\n\n"
        "The file says which recipe, and which values of its keys (lorac recipe explain sweep). "
        "All trials are checked before the first runs. Each is an ordinary run in a folder of its "
        "own; those that have ended are left alone, so that the same command goes on with a sweep "
        "that was stopped or killed, and comes to the same result. It ends with the runs side by "
        "side, as lorac runs prints them of its folder. Under mpirun the ranks share the "
        "trials.\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
    .shared = true,
};
