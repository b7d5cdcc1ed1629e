/* cmd_predict.c - `lorac predict`: answers for the rows of a table, or for one text. */
#include "tools/subject.h"

#include <stdio.h>
#include <string.h>

enum { MAX_TOKENS = 128, USUAL_TOP = 5 };

/* What --in, --out and --text ask for. */
struct asked {
    const char *in, *out, *text; // NULL: not given
    size_t max_tokens, top;
    bool scores;
    bool from_input, to_output; // "-"
    bool has_encoding;
    enum lorac_encoding encoding; // of the table
};

/* One of the option's words, or none. */
static void read_encoding(struct asked *q, const struct args *a)
{
    const char *given = args_text(a, "--encoding", NULL);
    for (int e = 0; given && e < LORAC_N_ENCODINGS && !q->has_encoding; e++) {
        q->encoding = (enum lorac_encoding)e;
        q->has_encoding = strcmp(given, lorac_encoding_name(q->encoding)) == 0;
    }
}

/* Which of the options go together: wrong usage. */
static enum lorac_status read_options(struct asked *q, const struct args *a, struct lorac_err *err)
{
    static const char *const of_tables[] = {"--out", "--overwrite", "--resume", "--encoding"};
    *q = (struct asked){.in = args_text(a, "--in", NULL),
                        .out = args_text(a, "--out", NULL),
                        .text = args_text(a, "--text", NULL),
                        .max_tokens = MAX_TOKENS,
                        .scores = args_has(a, "--scores")};
    q->from_input = q->in && strcmp(q->in, "-") == 0;
    q->to_output = q->out && strcmp(q->out, "-") == 0;
    enum lorac_status st = args_count(&q->max_tokens, a, "--max-tokens", err);
    if (!st) { st = args_count(&q->top, a, "--top", err); }
    if (st) { return st; }
    read_encoding(q, a);
    if (!q->in == !q->text) {
        return lorac_fail(err, LORAC_EUSER,
                          "predict needs either --in FILE and --out FILE, or --text TEXT");
    }
    for (size_t i = 0; q->text && i < sizeof of_tables / sizeof *of_tables; i++) {
        if (!args_has(a, of_tables[i])) { continue; }
        return lorac_fail(err, LORAC_EUSER, "%s is for a table (--in), not for --text",
                          of_tables[i]);
    }
    if (q->in && !q->out) { return lorac_fail(err, LORAC_EUSER, "--in needs --out FILE, too"); }
    if (q->in && args_has(a, "--field")) {
        return lorac_fail(err, LORAC_EUSER, "--field is for --text: a table has columns");
    }
    if (q->max_tokens == 0 || (args_has(a, "--top") && q->top == 0)) {
        return lorac_fail(err, LORAC_EUSER, "--%s must be at least 1",
                          q->max_tokens ? "top" : "max-tokens");
    }
    if (q->scores && args_has(a, "--top")) {
        return lorac_fail(err, LORAC_EUSER, "--top and --scores exclude each other");
    }
    if (q->to_output && (args_has(a, "--json") || args_has(a, "--resume"))) {
        return lorac_fail(err, LORAC_EUSER, "--out - and %s exclude each other",
                          args_has(a, "--json") ? "--json" : "--resume");
    }
    return LORAC_OK;
}

static enum lorac_status check_files(const struct asked *q, const struct args *a,
                                     struct lorac_err *err)
{
    if (q->to_output) { return LORAC_OK; }
    if (!q->from_input && is_one_file(q->in, q->out)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: is the table to read (--in); write to another file", q->out);
    }
    if (lorac_path_exists(q->out) && !args_has(a, "--overwrite")) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: is there already; choose another --out, or replace it with "
                          "--overwrite",
                          q->out);
    }
    return LORAC_OK;
}

/* ---- a table ---- */

static bool write_rows(void *self, const char *bytes, size_t n)
{
    (void)self;
    return fwrite(bytes, 1, n, stdout) == n && fflush(stdout) == 0;
}

static void note_rows(size_t n, const char *text)
{
    char many[48];
    if (n) { fprintf(stderr, "note: %s %s\n", show_many(many, n, "row"), text); }
}

/* What became of the rows, beside their answers. */
static void say_notes(const struct asked *q, const struct subject *s,
                      const struct lorac_predicted *done)
{
    char many[48];
    if (done->delimiter) {
        bool tab = done->delimiter == '\t';
        fprintf(
            stderr,
            "note: %s has %s%c%s between its cells, not data.format.delimiter's '%s%c': read and "
            "written so\n",
            q->in, tab ? "a tab" : "'", tab ? '\0' : done->delimiter, tab ? "" : "'",
            s->r->data.format.delimiter == '\t' ? "\\" : "",
            s->r->data.format.delimiter == '\t' ? 't' : s->r->data.format.delimiter);
    }
    if (done->encoding != LORAC_ENCODING_UTF8) {
        fprintf(stderr, "note: %s is %s; what is written is utf-8\n", q->in,
                lorac_encoding_name(done->encoding));
    } else if (done->other_encoding) {
        fprintf(stderr, "note: %s is utf-8, not what data.format.encoding says\n", q->in);
    }
    if (done->blank_lines) {
        fprintf(stderr, "note: %s: %s %s no row, and left out\n", q->in,
                show_many(many, done->blank_lines, "blank line"),
                done->blank_lines == 1 ? "is" : "are");
    }
    if (done->long_cells.n) {
        fprintf(stderr,
                "note: %s: %s with lines and delimiters, the first in line %llu; lone quotes need "
                "data.format.quote: ''\n",
                q->in, show_many(many, done->long_cells.n, "cell"),
                (unsigned long long)done->long_cells.line[0]);
    }
    note_rows(done->empty - done->unasked, "with a blank cell in the prompt");
    note_rows(done->unasked, "without an answer: a blank cell in the prompt (data.on_empty: skip)");
    note_rows(done->cut, "with a prompt that model.max_length cut short");
    note_rows(done->silent, "with an empty answer: the model ended at its first token");
    note_rows(done->unwritten,
              "whose answer holds what this table cannot (a NUL; without quotes, the "
              "delimiter or a line end): spaces stand for it");
    if (q->top > s->j->K && s->j->K) {
        fprintf(stderr, "note: --top %zu: there are %zu labels\n", q->top, s->j->K);
    }
}

static int print_counts(const struct asked *q, const struct lorac_predicted *done)
{
    struct out j = {0};
    char delimiter[2] = {done->delimiter, '\0'};
    out_count(&j, "rows", done->rows);
    out_count(&j, "resumed", done->resumed);
    out_bool(&j, "stopped", done->stopped);
    out_count(&j, "empty", done->empty);
    out_count(&j, "unasked", done->unasked);
    out_count(&j, "cut", done->cut);
    out_count(&j, "silent", done->silent);
    out_count(&j, "unwritten", done->unwritten);
    out_count(&j, "blank_lines", done->blank_lines);
    out_count(&j, "long_cells", done->long_cells.n);
    if (done->delimiter) { out_text(&j, "delimiter", delimiter, 1); }
    const char *encoding = lorac_encoding_name(done->encoding);
    out_str(&j, "encoding", encoding);
    out_str(&j, "out", q->out);
    return out_print(&j);
}

static void say_stopped(const struct asked *q, const struct args *a,
                        const struct lorac_predicted *done)
{
    struct lorac_buf again = {0};
    char many[48];
    fprintf(stderr, "stopped after %zu of %s", done->rows, show_many(many, done->all, "row"));
    args_again(&again, a);
    if (q->to_output || done->rows == 0) {
        fprintf(stderr, "\n");
    } else {
        fprintf(stderr, "; they are kept in %s.part. Go on with\n  %s --resume%s\n", q->out,
                again.no_memory ? "--resume" : again.at,
                args_has(a, "--overwrite") ? " --overwrite" : "");
    }
    lorac_buf_free(&again);
}

/* What rank 0 reads: the input of the others is empty. */
static enum lorac_status give_to_all(struct lorac_buf *bytes, enum lorac_status st,
                                     struct lorac_err *err)
{
    struct lorac_buf all = {0};
    if (!world()) { return st; }
    size_t n = lorac_ranks_rank(world()) == 0 ? bytes->n : 0;
    st = lorac_ranks_gather(&all, world(), bytes->at, n, st, err);
    lorac_buf_free(bytes);
    *bytes = all;
    return st;
}

static int predict_table(const struct asked *q, struct subject *s, const struct args *a,
                         struct lorac_err *err)
{
    struct lorac_predicted done = {0};
    struct lorac_buf bytes = {0};
    struct lorac_predict_options o = {
        .in = q->from_input ? "standard input" : q->in,
        .out = q->to_output ? NULL : q->out,
        .write = q->to_output ? write_rows : NULL,
        .adapter = s->adapter ? s->adapter_dir : NULL,
        .max_tokens = q->max_tokens,
        .top = q->top,
        .scores = q->scores,
        .encoding = q->has_encoding ? &q->encoding : NULL,
        .resume = args_has(a, "--resume"),
        .overwrite = args_has(a, "--overwrite"),
        .ranks = world(),
        .progress = subject_progress,
        .self = s,
    };
    enum lorac_status st = LORAC_OK;
    if (q->from_input) {
        st = read_text(&bytes, "-", err);
        st = give_to_all(&bytes, st, err);
        o.bytes = bytes.at ? bytes.at : "";
        o.n_bytes = bytes.n;
    }
    if (!st) { st = lorac_predict(&done, s->j, s->adapter ? &s->socket : NULL, &o, err); }
    status_clear(&s->line);
    lorac_buf_free(&bytes);
    if (st) { return complain(err); }
    int code = args_has(a, "--json") ? print_counts(q, &done) : 0;
    if (!args_has(a, "--json")) {
        char many[48];
        struct asked named = *q;
        named.in = o.in;
        if (!done.stopped) {
            fprintf(stderr, "%s written to %s, with a prediction each\n",
                    show_many(many, done.rows, "row"), q->to_output ? "standard output" : q->out);
        }
        say_notes(&named, s, &done);
    }
    if (!done.stopped) { return code; }
    say_stopped(q, a, &done);
    return stop_code();
}

/* ---- one text ---- */

/* `cut`: tokens that the prompt lost. */
static int print_answer_json(const struct lorac_answer *answer, const struct subject *s, size_t top,
                             size_t cut)
{
    struct out j = {0};
    if (!answer->ranked) {
        const char *why = lorac_finish_name(answer->finish);
        out_text(&j, "prediction", answer->text.at, answer->text.n);
        if (!lorac_job_has_head(s->j)) { // it wrote its answer, token by token
            out_str(&j, "finish", why);
            out_count(&j, "tokens", answer->tokens);
        }
        out_count(&j, "cut", cut);
        return out_print(&j);
    }
    const char *best = s->j->labels[answer->ranked[0].k];
    out_str(&j, "prediction", answer->text.at ? answer->text.at : best);
    if (!answer->text.at) { out_real(&j, "probability", answer->ranked[0].probability); }
    out_count(&j, "cut", cut);
    out_labels(&j, (const char *const *)s->j->labels, answer->ranked, top);
    return out_print(&j);
}

static void print_answer(const struct lorac_answer *answer, const struct subject *s, size_t top,
                         bool scores)
{
    double rest = 1.0;
    if (!answer->ranked) {
        (void)fwrite(answer->text.at, 1, answer->text.n, stdout);
        putchar('\n');
        if (answer->tokens == 0) {
            fprintf(stderr, "note: the answer is empty: the model ended at its first token\n");
        }
        if (answer->finish == LORAC_FINISH_LENGTH) {
            fprintf(stderr, "note: cut off at --max-tokens\n");
        }
        return;
    }
    for (size_t i = 0; i < top; i++) {
        printf(scores ? "%-15.9g  " : "%.4f  ", answer->ranked[i].probability);
        show_text(stdout, s->j->labels[answer->ranked[i].k],
                  strlen(s->j->labels[answer->ranked[i].k]));
        putchar('\n');
        rest -= answer->ranked[i].probability;
    }
    if (top < s->j->K && !answer->text.at) {
        printf("%.4f  (the other %zu)\n", rest > 0.0 ? rest : 0.0, s->j->K - top);
    }
}

/* The values of the prompt's variables: from the text and --field; `keeps`: also blank ones. */
static enum lorac_status read_values(struct lorac_cell *values, const struct lorac_predictor *p,
                                     const struct args *a, const struct lorac_buf *text, bool keeps,
                                     struct lorac_err *err)
{
    size_t n = lorac_predictor_variables(p);
    size_t used = 0;
    const char **names = lorac_mem_new(n, sizeof *names);
    struct lorac_cell *given = lorac_mem_new(n, sizeof *given);
    bool *optional = lorac_mem_new(n, sizeof *optional);
    enum lorac_status st = LORAC_OK;
    if (!names || !given || !optional) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory to predict");
    }
    for (size_t i = 0; i < n && !st; i++) {
        values[i] = (struct lorac_cell){"", 0};
        if (!lorac_predictor_asks(p, i)) { continue; }
        optional[used] = lorac_predictor_may_be_blank(p, i);
        names[used++] = lorac_predictor_variable(p, i);
    }
    if (!st) { st = fields_fill(given, names, optional, used, a, "--text", text, err); }
    for (size_t i = 0, k = 0; i < n && !st; i++) {
        if (lorac_predictor_asks(p, i)) { values[i] = given[k++]; }
    }
    for (size_t k = 0; k < used && !st && !keeps; k++) {
        if (optional[k] || !lorac_cell_is_blank(&given[k])) { continue; }
        st = lorac_fail(err, LORAC_EUSER,
                        "--text: {%s} is blank, expected text (data.on_empty: keep asks all the "
                        "same)",
                        names[k]);
    }
    lorac_mem_free(names);
    lorac_mem_free(given);
    lorac_mem_free(optional);
    return st;
}

static bool goes_on(void *self, const char *text, size_t n)
{
    (void)self;
    (void)text;
    (void)n;
    return !stop_asked();
}

static int predict_text(const struct asked *q, struct subject *s, const struct args *a,
                        struct lorac_err *err)
{
    struct lorac_buf text = {0};
    struct lorac_answer answer = {0};
    struct lorac_predictor *p = NULL;
    struct lorac_cell *values = NULL;
    size_t cut = 0;
    size_t K = s->j->K;
    size_t top = q->scores ? K : q->top ? q->top : USUAL_TOP;
    enum lorac_status st =
        lorac_predictor_new(&p, s->j, s->adapter ? &s->socket : NULL, q->max_tokens, err);
    if (!st && strcmp(q->text, "-") == 0) {
        st = read_text(&text, "-", err);
        while (text.n && (text.at[text.n - 1] == '\n' || text.at[text.n - 1] == '\r')) {
            text.at[--text.n] = '\0'; // the line's end is none of the text
        }
    } else {
        lorac_buf_str(&text, q->text);
    }
    if (!st) { values = lorac_mem_new(lorac_predictor_variables(p), sizeof *values); }
    if (!st && (!values || text.no_memory)) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    bool keeps = s->r->data.on_empty == LORAC_BAD_KEEP;
    if (!st) { st = read_values(values, p, a, &text, keeps, err); }
    if (!st) { st = lorac_predictor_prompt(&cut, p, values, err); }
    if (!st) { st = lorac_predictor_answer(&answer, p, goes_on, NULL, err); }
    if (!st && answer.finish == LORAC_FINISH_CALLER) {
        st = lorac_fail(err, LORAC_ESTOP, "stopped before the answer was whole");
    }
    status_clear(&s->line);
    int code = 0;
    char many[48];
    top = top < K ? top : K;
    if (st) {
        code = complain(err);
    } else if (args_has(a, "--json")) {
        code = print_answer_json(&answer, s, top, cut);
    } else {
        print_answer(&answer, s, top, q->scores);
        if (cut) {
            fprintf(stderr, "note: the prompt lost %s to model.max_length\n",
                    show_many(many, cut, "token"));
        }
    }
    lorac_predictor_free(p);
    lorac_answer_free(&answer);
    lorac_buf_free(&text);
    lorac_mem_free(values);
    return code;
}

/* ---- the verb ---- */

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct subject s = {.doing = "predicting"};
    struct asked q;
    if (subject_excludes(a)) { return EXIT_USAGE; }
    if (read_options(&q, a, &err)) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    enum lorac_status st = q.in ? check_files(&q, a, &err) : LORAC_OK;
    if (!st) { st = subject_open(&s, a, 0, &err); }
    if (!st && !s.adapter && !args_has(a, "--base")) {
        fprintf(stderr,
                "note: the base answers, as it is: %s is a recipe, and no --adapter is "
                "given\n",
                a->positional[0]);
    }
    if (!st && q.scores && !s.j->K) {
        st = lorac_fail(&err, LORAC_EUSER,
                        "--scores: the answers are %s, and there are no labels to score",
                        lorac_job_has_head(s.j) ? "numbers" : "free text");
    }
    if (!st && q.top && !s.j->K) {
        st = lorac_fail(&err, LORAC_EUSER,
                        "--top %zu: the answers are %s, and there are no labels to rank", q.top,
                        lorac_job_has_head(s.j) ? "numbers" : "free text");
    }
    if (!st && args_has(a, "--max-tokens") && (s.j->K || lorac_job_has_head(s.j))) {
        st = lorac_fail(&err, LORAC_EUSER,
                        "--max-tokens: the answers are %s, of which none is generated",
                        lorac_job_has_head(s.j) ? "a head's" : "labels");
    }
    if (!st && (q.scores || q.top) && lorac_job_objective(s.j)->target == LORAC_TARGET_TAGS) {
        st = lorac_fail(&err, LORAC_EUSER,
                        "%s: the answers are tags, one a word, and there are no labels to rank",
                        q.scores ? "--scores" : "--top");
    }
    int code = st       ? complain(&err)
               : q.text ? predict_text(&q, &s, a, &err)
                        : predict_table(&q, &s, a, &err);
    subject_close(&s);
    return code;
}

static const struct option options[] = {
    {"--in", "FILE", "table with the columns that the prompt needs; - reads standard input", false,
     false},
    {"--out", "FILE", "where to write it with the predictions added; - standard output", false,
     false},
    {"--encoding", "utf-8|latin-1|windows-1252|utf-16", "of the table of --in", false, false},
    {"--text", "TEXT", "answer for one text instead; - reads standard input", false, false},
    {"--field", "NAME=VALUE", "fill another variable of the prompt, beside --text", false, true},
    {"--top", "K", "the K likeliest labels (default: 1 a row, 5 of a text)", false, false},
    {"--scores", NULL, "all labels, the likeliest first, with all digits of their probabilities",
     false, false},
    {"--resume", NULL, "go on with rows that a stopped prediction left in OUT.part", false, false},
    {"--overwrite", NULL, "replace the file of --out, and drop what is left in OUT.part", false,
     false},
    SUBJECT_OPTIONS("answer"),
    {"--max-tokens", "N", "of a generated answer (default: 128)", false, false},
    RECIPE_OPTIONS,
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_predict = {
    .name = "predict",
    .usage = "RUN --in TABLE --out TABLE | RUN --text TEXT",
    .summary = "add a column of predictions to a table, or answer for one text",
    .about =
        "  lorac predict runs/sst2 --in new.tsv --out answers.tsv\n"
        "  lorac predict runs/sst2 --text 'a fine film'\n\n"
        "Adds 'prediction' and, where the recipe has labels, 'probability' (among all labels). A "
        "head that gives several labels adds those above eval.threshold (--scores: each with its "
        "own probability), one for numbers a number in the table's unit, one for tags a tag for "
        "each word ('_' for one that model.max_length cut away). "
        "The table needs no column for the answer; its quotes, line ends and byte order mark "
        "stay, and its delimiter may be another than the recipe's. JSON lines get members; the "
        "answer that a conversation ends with is left out, and the question asked. Ctrl-C keeps "
        "the rows that are done and says how to go on.\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
    .shared = true,
};
