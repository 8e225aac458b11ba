/* opencl_fault_loader.c -- a libOpenCL.so.1 that hands every call on to the real
 * one, in which the n-th call that can fail does so, once. Or all calls of a
 * name fail, or devices have less than they have. It also counts what was made
 * and not released.
 *
 * In: what shall be wrong, by driver_fault. Out: what failed, and how.
 * test_driver_fault.c opens this file to reach both; the backend opens it
 * because LD_LIBRARY_PATH names its folder. The real one is OPENCL_LOADER.
 */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include "driver_fault.h"

#include <CL/cl.h>
#include <dlfcn.h>
#include <string.h>

enum { NO_PLATFORM = -1001 }; /* CL_PLATFORM_NOT_FOUND_KHR */

static struct driver_fault loader;

struct driver_fault *
driver_fault(void)
{
    return &loader;
}

static void *
real(const char *name)
{
    void *library = dlopen(OPENCL_LOADER, RTLD_NOW | RTLD_LOCAL);
    return library ? dlsym(library, name) : NULL;
}

static cl_int
outcome(const char *name, cl_int code)
{
    loader.calls++;
    if (loader.refuses && strcmp(loader.refuses, name) == 0)
        return loader.refusal;
    if (loader.calls != loader.fail_at)
        return CL_SUCCESS;
    loader.name = name;
    loader.is_memory = code == CL_OUT_OF_HOST_MEMORY ||
                       code == CL_OUT_OF_RESOURCES ||
                       code == CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return code;
}

#define EXPORTED __attribute__((visibility("default")))
#define NO_HOST  CL_OUT_OF_HOST_MEMORY
#define LOST     CL_DEVICE_NOT_AVAILABLE

/* The function of the real loader, found when it is first called. */
#define NEXT(call)                     \
    static __typeof__(cl##call) *next; \
    if (!next)                         \
    *(void **)&next = real("cl" #call)

/* Calls that give a status. */
#define DOERS(X)                                                               \
    X(GetPlatformIDs, (cl_uint n, cl_platform_id * p, cl_uint * count),        \
      (n, p, count), NO_PLATFORM)                                              \
    X(CreateSubDevices,                                                        \
      (cl_device_id d, const cl_device_partition_property *p, cl_uint n,       \
       cl_device_id *out, cl_uint *count),                                     \
      (d, p, n, out, count), CL_DEVICE_PARTITION_FAILED)                       \
    X(EnqueueWriteBuffer,                                                      \
      (cl_command_queue q, cl_mem m, cl_bool blocks, size_t at, size_t bytes,  \
       const void *data, cl_uint n, const cl_event *list, cl_event *out),      \
      (q, m, blocks, at, bytes, data, n, list, out), CL_OUT_OF_RESOURCES)      \
    X(EnqueueReadBuffer,                                                       \
      (cl_command_queue q, cl_mem m, cl_bool blocks, size_t at, size_t bytes,  \
       void *data, cl_uint n, const cl_event *list, cl_event *out),            \
      (q, m, blocks, at, bytes, data, n, list, out), CL_OUT_OF_RESOURCES)      \
    X(BuildProgram,                                                            \
      (cl_program p, cl_uint n, const cl_device_id *d, const char *options,    \
       void(CL_CALLBACK * told)(cl_program, void *), void *context),           \
      (p, n, d, options, told, context), NO_HOST)                              \
    X(GetProgramInfo,                                                          \
      (cl_program p, cl_program_info what, size_t bytes, void *to,             \
       size_t *out),                                                           \
      (p, what, bytes, to, out), NO_HOST)                                      \
    X(SetKernelArg, (cl_kernel k, cl_uint i, size_t bytes, const void *value), \
      (k, i, bytes, value), NO_HOST)                                           \
    X(EnqueueNDRangeKernel,                                                    \
      (cl_command_queue q, cl_kernel k, cl_uint axes, const size_t *first,     \
       const size_t *global, const size_t *local, cl_uint n,                   \
       const cl_event *list, cl_event *out),                                   \
      (q, k, axes, first, global, local, n, list, out), CL_OUT_OF_RESOURCES)   \
    X(Flush, (cl_command_queue q), (q), LOST)                                  \
    X(GetEventProfilingInfo,                                                   \
      (cl_event e, cl_profiling_info what, size_t bytes, void *to,             \
       size_t *out),                                                           \
      (e, what, bytes, to, out), CL_PROFILING_INFO_NOT_AVAILABLE)

#define DOER(call, parameters, passed, code)      \
    EXPORTED cl_int cl##call parameters           \
    {                                             \
        NEXT(call);                               \
        cl_int r = outcome(#call, code);          \
        return r == CL_SUCCESS ? next passed : r; \
    }
DOERS(DOER)

/* Calls that make something, whose status comes last. */
#define MAKERS(X)                                                             \
    X(CreateContext, cl_context,                                              \
      (const cl_context_properties *p, cl_uint n, const cl_device_id *d,      \
       void(CL_CALLBACK * told)(const char *, const void *, size_t, void *),  \
       void *context, cl_int *out),                                           \
      (p, n, d, told, context, out), NO_HOST)                                 \
    X(CreateCommandQueue, cl_command_queue,                                   \
      (cl_context c, cl_device_id d, cl_command_queue_properties p,           \
       cl_int * out),                                                         \
      (c, d, p, out), CL_OUT_OF_RESOURCES)                                    \
    X(CreateBuffer, cl_mem,                                                   \
      (cl_context c, cl_mem_flags f, size_t bytes, void *data, cl_int *out),  \
      (c, f, bytes, data, out), CL_MEM_OBJECT_ALLOCATION_FAILURE)             \
    X(CreateProgramWithBinary, cl_program,                                    \
      (cl_context c, cl_uint n, const cl_device_id *d, const size_t *lengths, \
       const unsigned char **data, cl_int *each, cl_int *out),                \
      (c, n, d, lengths, data, each, out), NO_HOST)                           \
    X(CreateKernel, cl_kernel, (cl_program p, const char *name, cl_int *out), \
      (p, name, out), NO_HOST)

#define MAKER(call, type, parameters, passed, code) \
    EXPORTED type cl##call parameters               \
    {                                               \
        NEXT(call);                                 \
        cl_int r = outcome(#call, code);            \
        type made = NULL;                           \
        if (r == CL_SUCCESS)                        \
            made = next passed;                     \
        else                                        \
            *out = r;                               \
        loader.live += made != NULL;                \
        return made;                                \
    }
MAKERS(MAKER)

EXPORTED cl_program
clCreateProgramWithSource(cl_context c, cl_uint n, const char **text,
                          const size_t *lengths, cl_int *out)
{
    NEXT(CreateProgramWithSource);
    const char *spoiled = "#error spoiled\n";
    bool is_spoiled = false;
    for (cl_uint i = 0; loader.spoils && i < n; i++)
        is_spoiled |= strstr(text[i], loader.spoils) != NULL;
    *out = outcome("CreateProgramWithSource", NO_HOST);
    cl_program made = *out != CL_SUCCESS ? NULL
                      : is_spoiled       ? next(c, 1, &spoiled, NULL, out)
                                         : next(c, n, text, lengths, out);
    loader.live += made != NULL;
    return made;
}

/* Calls that release what was made. */
#define ENDERS(X)                            \
    X(ReleaseContext, cl_context)            \
    X(ReleaseCommandQueue, cl_command_queue) \
    X(ReleaseMemObject, cl_mem)              \
    X(ReleaseProgram, cl_program)            \
    X(ReleaseKernel, cl_kernel)

#define ENDER(call, type)             \
    EXPORTED cl_int cl##call(type it) \
    {                                 \
        NEXT(call);                   \
        loader.live--;                \
        return next(it);              \
    }
ENDERS(ENDER)

/* Work that was queued before a device is lost has ended when that is noticed. */
EXPORTED cl_int
clFinish(cl_command_queue q)
{
    NEXT(Finish);
    cl_int r = outcome("Finish", LOST), done = next(q);
    return r == CL_SUCCESS ? done : r;
}

/* ---- what does not fail here ---- */

EXPORTED cl_int
clGetDeviceIDs(cl_platform_id p, cl_device_type type, cl_uint n,
               cl_device_id *out, cl_uint *count)
{
    NEXT(GetDeviceIDs);
    return loader.lacks == LACKS_DEVICES ? CL_DEVICE_NOT_FOUND
                                         : next(p, type, n, out, count);
}

EXPORTED cl_int
clGetPlatformInfo(cl_platform_id p, cl_platform_info what, size_t bytes,
                  void *to, size_t *out)
{
    NEXT(GetPlatformInfo);
    return next(p, what, bytes, to, out);
}

EXPORTED cl_int
clGetDeviceInfo(cl_device_id d, cl_device_info what, size_t bytes, void *to,
                size_t *out)
{
    NEXT(GetDeviceInfo);
    cl_int r = next(d, what, bytes, to, out);
    if (!to || r != CL_SUCCESS)
        return r;
    if ((loader.lacks == LACKS_COMPILER &&
         what == CL_DEVICE_COMPILER_AVAILABLE) ||
        (loader.lacks == LACKS_PRESENCE && what == CL_DEVICE_AVAILABLE))
        *(cl_bool *)to = CL_FALSE;
    if (loader.lacks == LACKS_FULL_PROFILE && what == CL_DEVICE_PROFILE)
        strcpy(to, "EMBEDDED");
    if (loader.lacks == LACKS_NANS && what == CL_DEVICE_SINGLE_FP_CONFIG)
        *(cl_device_fp_config *)to &= ~(cl_device_fp_config)CL_FP_INF_NAN;
    return r;
}

EXPORTED cl_int
clGetProgramBuildInfo(cl_program p, cl_device_id d, cl_program_build_info what,
                      size_t bytes, void *to, size_t *out)
{
    NEXT(GetProgramBuildInfo);
    return next(p, d, what, bytes, to, out);
}

EXPORTED cl_int
clReleaseDevice(cl_device_id d)
{
    NEXT(ReleaseDevice);
    return next(d);
}

EXPORTED cl_int
clReleaseEvent(cl_event e)
{
    NEXT(ReleaseEvent);
    return next(e);
}
