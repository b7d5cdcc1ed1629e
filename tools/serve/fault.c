/* fault.c - see fault.h. */
#include "tools/serve/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fault_set(struct fault *f, int status, const char *code, const char *param, const char *fmt,
               ...)
{
    char text[sizeof f->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    *f = (struct fault){.status = status, .code = code};
    param = param ? param : "";
    (void)lorac_visible(f->param, sizeof f->param, param, strlen(param)); // clients need UTF-8
    (void)lorac_visible(f->text, sizeof f->text, text, strlen(text));
    return false;
}

bool fault_of(struct fault *f, int status, const char *code, const char *param,
              const struct lorac_err *err)
{
    bool theirs = err->code == LORAC_EUSER || err->code == LORAC_EFORMAT ||
                  err->code == LORAC_ENOTSUP || err->code == LORAC_EIO;
    return fault_set(f, theirs ? status : 500, theirs ? code : NULL, theirs ? param : NULL, "%s",
                     err->text);
}

bool fault_ending(struct fault *f)
{
    return fault_set(f, 503, "stopping", NULL, "the server is ending");
}

static const char *type_of(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 501:
        return "not_supported_error";
    case 503:
        return "unavailable_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

void fault_write(struct lorac_buf *b, const struct fault *f)
{
    lorac_buf_str(b, "{\"error\":{\"message\":");
    lorac_buf_json(b, f->text, strlen(f->text));
    lorac_buf_printf(b, ",\"type\":\"%s\",\"param\":", type_of(f->status));
    if (f->param[0]) {
        lorac_buf_json(b, f->param, strlen(f->param));
    } else {
        lorac_buf_str(b, "null");
    }
    if (f->code) {
        lorac_buf_printf(b, ",\"code\":\"%s\"}}", f->code);
    } else {
        lorac_buf_str(b, ",\"code\":null}}");
    }
}
