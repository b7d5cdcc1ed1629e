/* cmd_report.c - `lorac report`: a page about one run or several. */
#define _POSIX_C_SOURCE 200809L // nanosleep
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Seconds between two looks of --watch; looks in a row that see none of several runs go on, after
 * which it ends: the next one may be about to begin. */
enum { EVERY = 5, QUIET = 3 };

/* What looks like a run and can't be read is told, and left out; alone, it is the error. */
static enum lorac_status open_runs(struct lorac_runs *out, const struct args *a, bool again,
                                   struct lorac_err *err)
{
    enum lorac_status st = lorac_runs_open(out, a->positional, a->n_positional, err);
    if (!st && !out->n && out->n_broken) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s", out->broken[0].why);
        lorac_runs_close(out);
        return st;
    }
    for (size_t i = 0; !st && !again && i < out->n_broken; i++) {
        fprintf(stderr, "note: left out: %s\n", out->broken[i].why);
    }
    return st;
}

/* A file that this verb did not write is not overwritten. */
static enum lorac_status check_out(const char *path, struct lorac_err *err)
{
    struct lorac_map map = {0};
    static const char mark[] = LORAC_REPORT_MARK;
    if (!lorac_path_exists(path)) { return LORAC_OK; }
    enum lorac_status st = lorac_map_open(&map, path, err);
    size_t n = map.size < 512 ? map.size : 512;
    bool ours = map.size == 0;
    for (size_t i = 0; i + sizeof mark - 1 <= n && !ours; i++) {
        ours = memcmp(map.data + i, mark, sizeof mark - 1) == 0;
    }
    lorac_map_close(&map);
    if (!st && !ours) {
        st = lorac_fail(err, LORAC_EUSER,
                        "--out %s: is there already, and no report of lorac; choose another name",
                        path);
    }
    return st;
}

struct watching {
    const struct args *a;
    size_t looks; // so far
    size_t quiet; // in a row, that saw nothing go on
    bool more;    // there is to be another one
};

/* Write the page of the runs as they are now. */
static enum lorac_status write_page(struct watching *w, struct lorac_err *err)
{
    const char *out = args_text(w->a, "--out", NULL);
    struct lorac_runs runs = {0};
    struct lorac_buf page = {0};
    enum lorac_status st = open_runs(&runs, w->a, w->looks++ > 0, err);
    w->quiet++;
    for (size_t i = 0; i < runs.n; i++) {
        if (runs.at[i]->status == LORAC_RECORD_RUNNING) { w->quiet = 0; }
    }
    if (runs.to_come) { w->quiet = 0; }
    bool one = w->a->n_positional == 1 && lorac_record_is_run(w->a->positional[0]);
    w->more = args_has(w->a, "--watch") && w->quiet < (one ? 1 : QUIET) && !stop_asked();
    const struct lorac_report_options o = {.title = args_text(w->a, "--title", NULL),
                                           .refresh = w->more ? EVERY : 0};
    if (!st) { st = lorac_report(&page, &runs, &o, err); }
    if (!st) { st = check_out(out, err); }
    if (!st) { st = lorac_file_write(out, page.at, page.n, err); }
    lorac_buf_free(&page);
    lorac_runs_close(&runs);
    return st;
}

static void wait_a_little(void)
{
    for (int i = 0; i < EVERY * 10 && !stop_asked(); i++) {
        const struct timespec tenth = {.tv_nsec = 100000000};
        (void)nanosleep(&tenth, NULL);
    }
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct watching w = {.a = a};
    stop_on_signals();
    enum lorac_status st = write_page(&w, &err);
    if (!st) { printf("%s\n", args_text(a, "--out", NULL)); }
    (void)fflush(stdout);
    while (!st && w.more) {
        wait_a_little();
        st = write_page(&w, &err);
    }
    if (st) { return complain(&err); }
    return stop_asked() ? stop_code() : 0;
}

static const struct option options[] = {
    {"--out", "FILE", "the page", true, false},
    {"--title", "TEXT", "its title (default: the run's name)", false, false},
    {"--watch", NULL, "write it again while a run goes on", false, false},
    {0},
};

const struct verb verb_report = {
    .name = "report",
    .usage = "RUN|SWEEP... --out FILE.html",
    .summary = "a page about runs: curves, mistakes, what made the difference",
    .about =
        "Writes one HTML file that needs nothing else: no network, no script. Of one run: curves "
        "of training and validation with the best step, rate, gradient norm and speed, what labels "
        "were confused with, rows that went wrong, sample answers, the recipe and how it differs "
        "from the defaults. Of several runs, or of a folder that they lie in: which is best and "
        "which can't be told from it, what each key does, curves of all, and the best one as "
        "above. With --watch the page is written again every five seconds, and a browser that "
        "shows it loads it again, until no run goes on; of "
        "several, until none has gone on for a while, and none of a sweep is to come.\n\n"
        "  lorac report runs/mine --out mine.html\n",
    .options = options,
    .min_positional = 1,
    .max_positional = MAX_GIVEN,
    .run = run,
};
