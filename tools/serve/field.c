/* field.c - fields of a JSON object; see ask.h. */
#include "tools/serve/ask.h"

#include <math.h>
#include <string.h>

json_t *field_root(const char *body, size_t n, struct fault *f)
{
    void *read = NULL;
    struct lorac_err err = {0};
    if (lorac_json_read(&read, body ? body : "", n, "the body", &err)) {
        (void)fault_of(f, 400, NULL, NULL, &err);
        return NULL;
    }
    json_t *root = read;
    if (json_is_object(root)) { return root; }
    (void)fault_set(f, 400, NULL, NULL, "the body must be a JSON object");
    json_decref(root);
    return NULL;
}

/* The value; NULL: absent, or null. */
static const json_t *find(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

bool field_size(size_t *out, const json_t *o, const char *key, size_t min, size_t max,
                struct fault *f)
{
    const json_t *v = find(o, key);
    if (!v) { return true; }
    double x = json_is_number(v) ? json_number_value(v) : (double)NAN; // 16.0 is 16
    if (!(x >= (double)min && x <= (double)max) || x != floor(x)) {
        return fault_set(f, 400, NULL, key, "%s must be a whole number from %zu to %zu", key, min,
                         max);
    }
    *out = json_is_integer(v) ? (size_t)json_integer_value(v) : (size_t)x;
    return true;
}

bool field_real(double *out, const json_t *o, const char *key, double min, double max,
                struct fault *f)
{
    const json_t *v = find(o, key);
    if (!v) { return true; }
    double x = json_is_number(v) ? json_number_value(v) : (double)NAN;
    if (!(x >= min && x <= max)) {
        return fault_set(f, 400, NULL, key, "%s must be a number from %g to %g", key, min, max);
    }
    *out = x;
    return true;
}

bool field_bool(bool *out, const json_t *o, const char *key, struct fault *f)
{
    const json_t *v = find(o, key);
    if (!v) { return true; }
    if (!json_is_boolean(v)) {
        return fault_set(f, 400, NULL, key, "%s must be true or false", key);
    }
    *out = json_is_true(v);
    return true;
}

bool field_text(const char **out, const json_t *o, const char *key, bool required, struct fault *f)
{
    const json_t *v = find(o, key);
    if (!v && !required) { return true; }
    if (!v) { return fault_set(f, 400, NULL, key, "%s is missing", key); }
    if (!json_is_string(v)) { return fault_set(f, 400, NULL, key, "%s must be a text", key); }
    *out = json_string_value(v);
    if (strlen(*out) != json_string_length(v)) {
        return fault_set(f, 400, NULL, key, "%s holds a NUL byte", key);
    }
    return true;
}

bool field_asks(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v) || json_is_false(v)) { return false; }
    if (json_is_number(v)) { return json_number_value(v) != 0.0; }
    if (json_is_array(v)) { return json_array_size(v) > 0; }
    if (json_is_object(v)) { return json_object_size(v) > 0; }
    if (json_is_string(v)) {
        return *json_string_value(v) && strcmp(json_string_value(v), "none") != 0;
    }
    return true;
}
