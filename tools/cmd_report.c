/* cmd_report.c - `lorac report`: a page about one run or several. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_RUNS = 1000, EVERY = 5 }; // seconds between two looks of --watch

struct folders {
    char *at[MAX_RUNS]; // owned
    size_t n;
};

static void free_folders(struct folders *f)
{
    for (size_t i = 0; i < f->n; i++) {
        lorac_mem_free(f->at[i]);
    }
}

static enum lorac_status add_folder(struct folders *f, const char *dir, struct lorac_err *err)
{
    if (f->n == MAX_RUNS) {
        return lorac_fail(err, LORAC_EUSER, "more than %d runs do not fit a page", MAX_RUNS);
    }
    f->at[f->n] = lorac_mem_string(dir, strlen(dir));
    if (!f->at[f->n]) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    f->n++;
    return LORAC_OK;
}

/* A run, or a folder that runs lie in. */
static enum lorac_status find_runs(struct folders *f, const char *dir, struct lorac_err *err)
{
    char **names = NULL;
    size_t before = f->n;
    if (lorac_record_is_run(dir)) { return add_folder(f, dir, err); }
    enum lorac_status st = lorac_dir_list(&names, dir, err);
    for (size_t i = 0; !st && names[i]; i++) {
        char *path = lorac_path_join(dir, names[i]);
        if (!path) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
        if (!st && lorac_record_is_run(path)) { st = add_folder(f, path, err); }
        lorac_mem_free(path);
    }
    lorac_mem_free(names);
    if (!st && f->n == before) {
        st =
            lorac_fail(err, LORAC_EUSER,
                       "%s: holds no run (no recipe.resolved.yaml), and no folder in it does", dir);
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

/* Write the page of the runs as they are now. *goes_on: one of them is not at its end. */
static enum lorac_status write_page(bool *goes_on, const struct args *a, struct lorac_err *err)
{
    static struct folders f;
    static struct lorac_record *runs[MAX_RUNS];
    const char *out = args_text(a, "--out", NULL);
    struct lorac_buf page = {0};
    enum lorac_status st = LORAC_OK;
    size_t n = 0;
    f.n = 0;
    *goes_on = false;
    for (size_t i = 0; i < a->n_positional && !st; i++) {
        st = find_runs(&f, a->positional[i], err);
    }
    for (; n < f.n && !st; n += !st) {
        st = lorac_record_open(&runs[n], f.at[n], err);
        if (!st) { *goes_on = *goes_on || runs[n]->status == LORAC_RECORD_RUNNING; }
    }
    bool watches = args_has(a, "--watch") && *goes_on && !stop_asked();
    const struct lorac_report_options o = {.title = args_text(a, "--title", NULL),
                                           .refresh = watches ? EVERY : 0};
    if (!st) { st = lorac_report(&page, runs, n, &o, err); }
    if (!st) { st = check_out(out, err); }
    if (!st) { st = lorac_file_write(out, page.at, page.n, err); }
    lorac_buf_free(&page);
    while (n > 0) {
        lorac_record_close(runs[--n]);
    }
    free_folders(&f);
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
    bool goes_on = false;
    stop_on_signals();
    enum lorac_status st = write_page(&goes_on, a, &err);
    if (!st) { printf("%s\n", args_text(a, "--out", NULL)); }
    while (!st && goes_on && args_has(a, "--watch")) {
        bool last = stop_asked();
        if (!last) { wait_a_little(); }
        st = write_page(&goes_on, a, &err);
        if (!st && last) { return stop_code(); }
    }
    return st ? complain(&err) : 0;
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
        "shows it loads it again, until no run goes on.\n\n"
        "  lorac report runs/mine --out mine.html\n",
    .options = options,
    .min_positional = 1,
    .max_positional = MAX_GIVEN,
    .run = run,
};
