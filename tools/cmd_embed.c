/* cmd_embed.c - `lorac embed`: a vector for each row of a table. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>

/* What is embedded, and where it goes. */
struct work {
    struct bench b;
    struct lorac_embedding how;
    struct lorac_table *table;
    size_t column;
    struct lorac_embedder *embedder;
    struct lorac_row row;
    const char *out;
    struct lorac_out *csv; // a line a row; NULL: safetensors
    struct lorac_buf line;
    float *vectors;    // (rows,C), or those that are embedded together
    size_t rows, done; // of the table
    size_t cut, blank; // rows
    size_t tokens_lost;
    struct status_line status;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s);
    size_t m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* ---- what is asked for ---- */

static enum lorac_status check_options(const struct args *a, struct lorac_err *err)
{
    const char *out = args_text(a, "--out", "");
    if (!ends_with(out, ".csv") && !ends_with(out, ".safetensors")) {
        return lorac_fail(err, LORAC_EUSER, "--out %s: its name must end with .csv or .safetensors",
                          out);
    }
    if (is_one_file(args_text(a, "--data", ""), out)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: is the table to read (--data); write to another file", out);
    }
    if (lorac_path_exists(out) && !args_has(a, "--overwrite")) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: is there already; choose another --out, or replace it with "
                          "--overwrite",
                          out);
    }
    return LORAC_OK;
}

/* JSON lines and tabs by the file's name, unless --delimiter says it. */
static enum lorac_status open_table(struct work *w, const struct args *a, struct lorac_err *err)
{
    const char *path = args_text(a, "--data", "");
    const char *delimiter = args_text(a, "--delimiter", ends_with(path, ".tsv") ? "\t" : ",");
    bool json = ends_with(path, ".jsonl") || ends_with(path, ".ndjson");
    if (strcmp(delimiter, "\\t") == 0) { delimiter = "\t"; }
    if (strlen(delimiter) != 1) {
        return lorac_fail(err, LORAC_EUSER, "--delimiter must be one character, found '%s'",
                          delimiter);
    }
    if (json && args_has(a, "--delimiter")) {
        return lorac_fail(err, LORAC_EUSER, "--delimiter is of CSV, and %s are JSON lines", path);
    }
    struct lorac_table_format format = {.delimiter = delimiter[0],
                                        .quote = '"',
                                        .header = true,
                                        .kind = json ? LORAC_TABLE_JSONL : LORAC_TABLE_CSV};
    enum lorac_status st = lorac_table_open(&w->table, path, &format, err);
    if (!st) {
        st = lorac_table_column_find(&w->column, w->table, args_text(a, "--column", ""), err);
    }
    w->rows = st ? 0 : lorac_table_rows(w->table);
    return st;
}

static enum lorac_status choose(struct lorac_embedding *how, const struct args *a,
                                const struct lorac_model *m, struct lorac_err *err)
{
    const char *word = args_text(a, "--pooling", NULL);
    size_t most = how->max_tokens;
    for (size_t i = 0; word && lorac_pooling_name(i); i++) {
        if (strcmp(word, lorac_pooling_name(i)) == 0) { how->pooling = (enum lorac_pooling)i; }
    }
    if (args_has(a, "--no-normalize")) { how->normalize = false; }
    enum lorac_status st = args_count(&most, a, "--max-tokens", err);
    if (!st && (most == 0 || most > m->config.max_positions)) {
        st = lorac_fail(err, LORAC_EUSER, "--max-tokens %zu: expected 1 to %zu, which %s reads",
                        most, m->config.max_positions, m->dir);
    }
    how->max_tokens = most;
    return st;
}

/* ---- rows ---- */

static bool progress(struct work *w)
{
    status_share(&w->status, "embedding", (double)w->done / (double)w->rows);
    return !stop_asked();
}

static enum lorac_status add_row(bool *added, struct work *w, size_t i, struct lorac_err *err)
{
    size_t cut = 0;
    enum lorac_status st = lorac_table_row(&w->row, w->table, i, err);
    if (st) { return st; }
    const struct lorac_cell *cell = &w->row.cells[w->column];
    st = lorac_embedder_add(added, &cut, w->embedder, cell->at, cell->n, err);
    if (st) {
        lorac_err_prefix(err, "%s:%llu: ", lorac_table_file(w->table),
                         (unsigned long long)w->row.line);
    }
    if (st || !*added) { return st; }
    w->blank += lorac_cell_is_blank(cell);
    w->cut += cut > 0;
    w->tokens_lost += cut;
    return LORAC_OK;
}

static enum lorac_status write_lines(struct work *w, size_t n, struct lorac_err *err)
{
    size_t C = w->b.model->config.C;
    for (size_t i = 0; i < n; i++) {
        lorac_buf_printf(&w->line, "%llu",
                         (unsigned long long)lorac_table_line(w->table, w->done + i));
        for (size_t c = 0; c < C; c++) {
            lorac_buf_printf(&w->line, ",%.9g", (double)w->vectors[i * C + c]);
        }
        lorac_buf_str(&w->line, "\n");
    }
    if (w->line.no_memory) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a line"); }
    enum lorac_status st = lorac_out_write(w->csv, w->line.at, w->line.n, err);
    lorac_buf_clear(&w->line);
    return st;
}

static enum lorac_status begin_csv(struct work *w, struct lorac_err *err)
{
    enum lorac_status st = lorac_out_open(&w->csv, w->out, err);
    lorac_buf_str(&w->line, "line");
    for (size_t c = 0; c < w->b.model->config.C; c++) {
        lorac_buf_printf(&w->line, ",e%zu", c);
    }
    lorac_buf_str(&w->line, "\n");
    if (!st && w->line.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for a line"); }
    if (!st) { st = lorac_out_write_head(w->csv, w->line.at, w->line.n, err); }
    lorac_buf_clear(&w->line);
    return st;
}

/* Rows in groups, each group's vectors into the file or behind those before. */
static enum lorac_status embed(struct work *w, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    while (w->done < w->rows && !st) {
        bool added = true;
        size_t end = w->done;
        while (end < w->rows && added && !st) {
            st = add_row(&added, w, end, err);
            end += !st && added;
        }
        size_t n = lorac_embedder_texts(w->embedder);
        float *to = w->csv ? w->vectors : w->vectors + w->done * w->b.model->config.C;
        if (!st) { st = lorac_embedder_run(to, w->embedder, err); }
        if (!st && w->csv) { st = write_lines(w, n, err); }
        w->done = end;
        if (!st && !progress(w)) {
            st = lorac_fail(err, LORAC_ESTOP, "stopped: nothing was written");
        }
    }
    return st;
}

static enum lorac_status write_tensor(const struct work *w, const struct args *a,
                                      struct lorac_err *err)
{
    const char *const meta[] = {"model",      args_text(a, "--model", ""),
                                "data",       lorac_table_file(w->table),
                                "column",     args_text(a, "--column", ""),
                                "pooling",    lorac_pooling_name(w->how.pooling),
                                "normalized", w->how.normalize ? "true" : "false"};
    struct lorac_tensor_spec spec = {.name = "embeddings",
                                     .dtype = LORAC_F32,
                                     .n_dims = 2,
                                     .dims = {w->rows, w->b.model->config.C},
                                     .data = w->vectors};
    return lorac_safetensors_write(w->out, &spec, 1, meta, 5, NULL, NULL, err);
}

/* ---- all of it ---- */

static enum lorac_status open_all(struct work *w, const struct args *a, struct lorac_err *err)
{
    size_t n = 0;
    enum lorac_status st = open_table(w, a, err);
    if (!st) { st = bench_open_for(&w->b, a, LORAC_TASK_BODY, true, err); }
    if (!st) { st = lorac_embedding_read(&w->how, w->b.model, err); }
    if (!st) { st = choose(&w->how, a, w->b.model, err); }
    if (!st) {
        st = lorac_embedder_new(&w->embedder, w->b.model, w->b.tokenizer, bench_socket(&w->b),
                                &w->how, err);
    }
    if (st) { return st; }
    bool csv = ends_with(w->out, ".csv");
    size_t rows = csv ? lorac_embedder_most(w->embedder) : w->rows;
    w->vectors = lorac_mul(rows, w->b.model->config.C, &n) ? lorac_mem_new(n, sizeof(float)) : NULL;
    if (!w->vectors) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for %zu vectors of %zu", rows,
                          w->b.model->config.C);
    }
    return csv ? begin_csv(w, err) : LORAC_OK;
}

static int tell(const struct work *w, bool as_json)
{
    size_t C = w->b.model->config.C;
    const char *pooling = lorac_pooling_name(w->how.pooling);
    char many[48];
    if (as_json) {
        struct out j = {0};
        out_count(&j, "rows", w->rows);
        out_count(&j, "width", C);
        out_str(&j, "pooling", pooling);
        out_bool(&j, "normalized", w->how.normalize);
        out_count(&j, "max_tokens", w->how.max_tokens);
        out_count(&j, "cut", w->cut);
        out_count(&j, "tokens_lost", w->tokens_lost);
        out_count(&j, "blank", w->blank);
        out_str(&j, "prompt", w->how.prompt ? w->how.prompt : "");
        out_str(&j, "out", w->out);
        return out_print(&j);
    }
    fprintf(stderr, "%s embedded, %zu numbers each (%s%s), written to %s\n",
            show_many(many, w->rows, "row"), C, pooling, w->how.normalize ? ", normalised" : "",
            w->out);
    if (w->how.prompt) {
        fprintf(stderr, "note: the model's folder puts '%s' in front of each text\n",
                w->how.prompt);
    }
    if (w->cut) {
        fprintf(stderr, "note: %s longer than %zu tokens and lost %zu at the end\n",
                show_many(many, w->cut, "row"), w->how.max_tokens, w->tokens_lost);
    }
    if (w->blank) { fprintf(stderr, "note: %s blank\n", show_many(many, w->blank, "cell")); }
    return 0;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct work w = {.out = args_text(a, "--out", "")};
    if (check_options(a, &err)) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    status_begin(&w.status);
    stop_on_signals();
    enum lorac_status st = open_all(&w, a, &err);
    if (!st) { st = embed(&w, &err); }
    if (!st && !w.csv) { st = write_tensor(&w, a, &err); }
    if (!st && w.csv) {
        st = lorac_out_commit(w.csv, &err);
        w.csv = NULL;
    }
    status_clear(&w.status);
    int code = st ? complain(&err) : tell(&w, args_has(a, "--json"));
    lorac_out_free(w.csv);
    lorac_embedder_free(w.embedder);
    lorac_embedding_release(&w.how);
    lorac_table_close(w.table);
    lorac_row_free(&w.row);
    lorac_buf_free(&w.line);
    lorac_mem_free(w.vectors);
    bench_close(&w.b);
    return code;
}

static const struct option options[] = {
    MODEL_OPTIONS,
    {"--data", "FILE", "the table: CSV, or JSON lines where it ends with .jsonl", true, false},
    {"--column", "NAME", "the column with the texts", true, false},
    {"--out", "FILE", "FILE.csv or FILE.safetensors", true, false},
    {"--overwrite", NULL, "replace the file of --out", false, false},
    {"--delimiter", "C", "between cells of CSV (default: , and of .tsv a tab)", false, false},
    {"--pooling", "mean|cls|last", "of the tokens (default: as the model's folder says, or mean)",
     false, false},
    {"--no-normalize", NULL, "leave the vectors as long as they are", false, false},
    {"--max-tokens", "N", "of a text (default: as the model's folder says, or all it reads)", false,
     false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_embed = {
    .name = "embed",
    .usage = "--model DIR --data FILE --column NAME --out FILE.csv|FILE.safetensors",
    .summary = "a vector for each text of a table",
    .about =
        "  lorac embed --model DIR --data texts.csv --column text --out vectors.csv\n"
        "  lorac embed --model DIR --adapter DIR --data texts.jsonl --column text \\\n"
        "              --out vectors.safetensors\n\n"
        "A text's vector is the mean of what leaves the model's last layer for its tokens, or "
        "that of the first (cls) or the last one: as the model's folder says where it is one of "
        "sentence-transformers (modules.json), whose numbers these are. It has length 1 unless "
        "--no-normalize. Adapters are those of PEFT's FEATURE_EXTRACTION, and others without a "
        "head. CSV has the line of the row in the table in front of its numbers; safetensors holds "
        "one tensor, 'embeddings' (rows,width), in the order of the rows.\n",
    .options = options,
    .run = run,
};
