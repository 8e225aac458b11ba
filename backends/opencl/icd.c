/* icd.c -- opening the ICD loader of OpenCL, and its error codes as words. */
#include "icd.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

krs_status
krsi_cl_open(krsi_cl *out, krs_error *err)
{
    static const char *const files[] = {"libOpenCL.so.1", "libOpenCL.so"};
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof files / sizeof *files; i++)
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        const char *reason = dlerror();
        return krs_fail(err, KRS_E_DEVICE,
                        "opencl: no ICD loader %s: %s (Debian: "
                        "ocl-icd-libopencl1, and a driver such as "
                        "pocl-opencl-icd)",
                        files[0], reason ? reason : "no reason given");
    }
#define FIND(name)                                                  \
    {                                                               \
        void *symbol = dlsym(library, "cl" #name);                  \
        if (!symbol)                                                \
            return krs_fail(err, KRS_E_DEVICE,                      \
                            "opencl: the ICD loader lacks cl" #name \
                            ": it is older than OpenCL 1.2");       \
        memcpy(&out->name, &symbol, sizeof symbol);                 \
    }
    KRSI_CL_LIST(FIND)
#undef FIND
    return KRS_OK;
}

#define CODES(X)                        \
    X(CL_DEVICE_NOT_FOUND)              \
    X(CL_DEVICE_NOT_AVAILABLE)          \
    X(CL_COMPILER_NOT_AVAILABLE)        \
    X(CL_MEM_OBJECT_ALLOCATION_FAILURE) \
    X(CL_OUT_OF_RESOURCES)              \
    X(CL_OUT_OF_HOST_MEMORY)            \
    X(CL_BUILD_PROGRAM_FAILURE)         \
    X(CL_INVALID_VALUE)                 \
    X(CL_INVALID_DEVICE)                \
    X(CL_INVALID_BINARY)                \
    X(CL_INVALID_BUILD_OPTIONS)         \
    X(CL_INVALID_PROGRAM)               \
    X(CL_INVALID_PROGRAM_EXECUTABLE)    \
    X(CL_INVALID_KERNEL_NAME)           \
    X(CL_INVALID_KERNEL)                \
    X(CL_INVALID_KERNEL_ARGS)           \
    X(CL_INVALID_WORK_GROUP_SIZE)       \
    X(CL_INVALID_WORK_ITEM_SIZE)        \
    X(CL_INVALID_BUFFER_SIZE)           \
    X(CL_INVALID_MEM_OBJECT)            \
    X(CL_INVALID_OPERATION)

static const char *
code_name(cl_int code)
{
    switch (code) {
#define ROW(name) \
    case name: return #name;
        CODES(ROW)
#undef ROW
    case -1001: return "CL_PLATFORM_NOT_FOUND_KHR";
    }
    return "OpenCL error";
}

const char *
krsi_cl_code(cl_int code, char text[KRSI_CL_CODE_TEXT])
{
    snprintf(text, KRSI_CL_CODE_TEXT, "%s (%d)", code_name(code), (int)code);
    return text;
}

krs_status
krsi_cl_fail(krs_error *err, cl_int code, const char *format, ...)
{
    bool is_memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE ||
                     code == CL_OUT_OF_RESOURCES ||
                     code == CL_OUT_OF_HOST_MEMORY ||
                     code == CL_INVALID_BUFFER_SIZE;
    char what[256], text[KRSI_CL_CODE_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return krs_fail(err, is_memory ? KRS_E_MEMORY : KRS_E_DEVICE,
                    "opencl: %s: %s", what, krsi_cl_code(code, text));
}
