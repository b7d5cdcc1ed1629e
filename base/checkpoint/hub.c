/* hub.c - see hub.h. */
#include "base/checkpoint/hub.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REF = 4096, LISTED = 3, COMMIT = 256 };

static const char prefix[] = "models--";

static enum lorac_status no_memory(const char *path, struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
}

/* ---- names ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The id in `given`: OWNER/NAME or NAME, with or without the Hub's address around it. */
static bool read_id(char id[LORAC_HUB_ID], const char *given)
{
    static const char *const addresses[] = {"hf://", "https://huggingface.co/", "https://hf.co/"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        size_t n = strlen(addresses[i]);
        if (strncmp(given, addresses[i], n) == 0) { given += n; }
    }
    size_t n = strcspn(given, "/");
    if (given[n] == '/') { n += 1 + strcspn(given + n + 1, "/"); }
    const char *tail = given + n;
    bool whole = !tail[0] || strcmp(tail, "/") == 0 || strncmp(tail, "/tree/", 6) == 0;
    if (!whole || n == 0 || n >= LORAC_HUB_ID || given[n - 1] == '/') { return false; }
    for (size_t i = 0; i < n; i++) {
        bool begins = i == 0 || given[i - 1] == '/';
        bool fits = is_word(given[i]) ||
                    (!begins && (given[i] == '-' || given[i] == '.' || given[i] == '/'));
        if (!fits) { return false; }
    }
    memcpy(id, given, n);
    id[n] = '\0';
    return !strstr(id, "--") && !strstr(id, "..");
}

bool lorac_hub_id(char id[LORAC_HUB_ID], const char *dir)
{
    const char *at = NULL; // the last "/models--" that "/snapshots/" follows
    for (const char *s = strstr(dir, prefix); s; s = strstr(s + 1, prefix)) {
        bool begins = s == dir || s[-1] == '/';
        const char *end = s + strcspn(s, "/");
        if (begins && strncmp(end, "/snapshots/", 11) == 0) { at = s; }
    }
    if (!at) { return false; }
    at += sizeof prefix - 1;
    size_t n = strcspn(at, "/");
    const char *split = strstr(at, "--");
    if (n == 0 || n >= LORAC_HUB_ID) { return false; }
    if (split && (size_t)(split - at) >= n) { split = NULL; }
    size_t owner = split ? (size_t)(split - at) : 0;
    (void)snprintf(id, LORAC_HUB_ID, "%.*s%s%.*s", (int)owner, at, split ? "/" : "",
                   (int)(n - owner - (split ? 2 : 0)), at + owner + (split ? 2 : 0));
    return true;
}

/* ---- the cache ---- */

/* Append the cache's folder; nothing where nothing says where it is. */
static void add_cache(struct lorac_buf *b)
{
    static const struct {
        const char *variable, *below;
    } places[] = {
        {"HF_HUB_CACHE", ""},
        {"HUGGINGFACE_HUB_CACHE", ""},
        {"HF_HOME", "/hub"},
        {"XDG_CACHE_HOME", "/huggingface/hub"},
        {"HOME", "/.cache/huggingface/hub"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = getenv(places[i].variable); // NOLINT(concurrency-mt-unsafe)
        if (!value || !*value) { continue; }
        const char *home =
            strncmp(value, "~/", 2) == 0 ? getenv("HOME") : NULL; // NOLINT(concurrency-mt-unsafe)
        lorac_buf_printf(b, "%s%s%s", home ? home : "", home ? value + 1 : value, places[i].below);
        break;
    }
}

/* The commit that refs/main names; "": there is no such file. */
static enum lorac_status read_ref(char commit[COMMIT], const char *folder, struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    char path[LORAC_PATH];
    enum lorac_status st = LORAC_OK;
    commit[0] = '\0';
    if (lorac_path_exists(lorac_path_in(path, folder, "refs/main"))) {
        st = lorac_file_read(&text, &n, path, MAX_REF, err);
    }
    if (!st && text) {
        size_t length = strcspn(text, " \t\r\n");
        if (length == 0 || length >= COMMIT || memchr(text, '/', length) || text[0] == '.') {
            st = lorac_fail(err, LORAC_EFORMAT, "%s: expected a commit, found '%.40s'", path, text);
        } else {
            memcpy(commit, text, length);
            commit[length] = '\0';
        }
    }
    lorac_mem_free(text);
    return st;
}

/* The only snapshot of the folder `snapshots`. */
static enum lorac_status only_one(char commit[COMMIT], const char *snapshots, const char *id,
                                  struct lorac_err *err)
{
    char **names = NULL;
    struct lorac_buf list = {0};
    size_t n = 0;
    enum lorac_status st = lorac_dir_list(&names, snapshots, err);
    for (size_t i = 0; !st && names[i]; i++) {
        n++;
        if (n <= LISTED) { lorac_buf_printf(&list, "%s%s", n > 1 ? ", " : "", names[i]); }
    }
    if (st) { return st; }
    if (list.no_memory) {
        st = no_memory(snapshots, err);
    } else if (n == 1) {
        (void)snprintf(commit, COMMIT, "%s", names[0]);
    } else if (n == 0) {
        st = lorac_fail(err, LORAC_EUSER, "%s: holds no snapshot; to download one: hf download %s",
                        snapshots, id);
    } else {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: holds %zu snapshots, and no refs/main says which; give the folder of "
                        "one: %s%s",
                        snapshots, n, list.at ? list.at : "", n > LISTED ? ", ..." : "");
    }
    lorac_buf_free(&list);
    lorac_mem_free(names);
    return st;
}

/* The snapshot of a folder models--OWNER--NAME. */
static enum lorac_status find_snapshot(char **out, const char *folder, struct lorac_err *err)
{
    char commit[COMMIT] = "";
    char id[LORAC_HUB_ID] = "OWNER/NAME";
    char snapshots[LORAC_PATH];
    char inside[LORAC_PATH];
    lorac_path_in(snapshots, folder, "snapshots");
    (void)lorac_hub_id(id, lorac_path_in(inside, snapshots, "x"));
    enum lorac_status st = read_ref(commit, folder, err);
    if (!st && !commit[0]) { st = only_one(commit, snapshots, id, err); }
    if (!st) {
        *out = lorac_path_join(snapshots, commit);
        if (!*out) { st = no_memory(folder, err); }
    }
    if (!st && !lorac_path_is_dir(*out)) {
        st = lorac_fail(
            err, LORAC_EUSER,
            "%s: is not there, though refs/main names it; to download it: hf download %s", *out,
            id);
        lorac_mem_free(*out);
        *out = NULL;
    }
    return st;
}

static enum lorac_status find_id(char **out, const char *path, const char *id,
                                 struct lorac_err *err)
{
    struct lorac_buf cache = {0};
    struct lorac_buf folder = {0}; // CACHE/models--OWNER--NAME
    enum lorac_status st = LORAC_OK;
    add_cache(&cache);
    lorac_buf_printf(&folder, "%s/%s", cache.at ? cache.at : "", prefix);
    for (const char *s = id; *s; s++) {
        lorac_buf_str(&folder, *s == '/' ? "--" : (const char[]){*s, '\0'});
    }
    if (cache.no_memory || folder.no_memory) {
        st = no_memory(path, err);
    } else if (cache.n && lorac_path_is_dir(folder.at)) {
        st = find_snapshot(out, folder.at, err);
    } else if (strchr(id, '/')) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: is no folder, and %s is not in the Hub's cache %s; to download it: hf "
                        "download %s",
                        path, id, cache.n ? cache.at : "(HOME is not set)", id);
    } else {
        st = lorac_fail(err, LORAC_EUSER, "%s: is no folder", path);
    }
    lorac_buf_free(&cache);
    lorac_buf_free(&folder);
    return st;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s);
    size_t k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* The folder itself, unless it is one of a cache. */
static enum lorac_status find_in_folder(char **out, const char *path, struct lorac_err *err)
{
    char snapshots[LORAC_PATH];
    bool cache = lorac_path_is_dir(lorac_path_in(snapshots, path, "snapshots")) &&
                 !lorac_path_holds(path, "config.json") &&
                 !lorac_path_holds(path, "adapter_config.json");
    if (cache) { return find_snapshot(out, path, err); }
    *out = lorac_mem_string(path, strlen(path));
    return *out ? LORAC_OK : no_memory(path, err);
}

enum lorac_status lorac_hub_find(char **out, const char *path, const char *given,
                                 struct lorac_err *err)
{
    char id[LORAC_HUB_ID];
    *out = NULL;
    if (lorac_path_is_dir(path)) { return find_in_folder(out, path, err); }
    if (lorac_path_exists(path)) {
        bool gguf = ends_with(path, ".gguf");
        return lorac_fail(
            err, LORAC_EUSER, "%s: is no folder%s", path,
            gguf ? ", and GGUF files are not read: give the folder with safetensors that "
                   "it was made from"
                 : ": give the one that holds this file");
    }
    if (read_id(id, given ? given : path)) { return find_id(out, path, id, err); }
    bool gone = lorac_hub_id(id, path);
    return lorac_fail(err, LORAC_EUSER, "%s: is no folder%s%s", path,
                      gone ? "; to download it: hf download " : "", gone ? id : "");
}

/* ---- downloads that were not finished ---- */

/* How many files of the folder `below` dir are unfinished. */
static size_t count_incomplete(const char *dir, const char *below)
{
    char **names = NULL;
    size_t n = 0;
    char path[LORAC_PATH];
    if (lorac_path_is_dir(lorac_path_in(path, dir, below)) &&
        lorac_dir_list(&names, path, NULL) == LORAC_OK) {
        for (size_t i = 0; names[i]; i++) {
            n += ends_with(names[i], ".incomplete");
        }
    }
    lorac_mem_free(names);
    return n;
}

void lorac_hub_explain(const char *dir, struct lorac_err *err)
{
    char id[LORAC_HUB_ID];
    if (!err || err->code == LORAC_ENOMEM || err->code == LORAC_ENOTSUP) { return; }
    if (lorac_hub_id(id, dir)) {
        size_t n = count_incomplete(dir, "../../blobs");
        if (n == 1) { lorac_err_add(err, "; a file of its download is not finished"); }
        if (n > 1) { lorac_err_add(err, "; %zu files of its download are not finished", n); }
        lorac_err_add(err, "; hf download %s fetches what is missing", id);
    } else if (count_incomplete(dir, ".cache/huggingface/download")) {
        struct lorac_buf word = {0};
        lorac_buf_word(&word, dir);
        lorac_err_add(err,
                      "; its download is not finished: hf download with --local-dir %s goes on "
                      "with it",
                      word.no_memory ? dir : word.at);
        lorac_buf_free(&word);
    }
}
