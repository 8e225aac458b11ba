/* icd.h -- the functions of OpenCL, found when a device is looked for: the
 * module itself links none, so that it can be loaded where there is no OpenCL.
 */
#ifndef KRSI_ICD_H
#define KRSI_ICD_H

#include <krs/status.h>

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

/* clGetPlatformIDs and so on, without the prefix */
#define KRSI_CL_LIST(X)        \
    X(GetPlatformIDs)          \
    X(GetPlatformInfo)         \
    X(GetDeviceIDs)            \
    X(GetDeviceInfo)           \
    X(CreateSubDevices)        \
    X(ReleaseDevice)           \
    X(CreateContext)           \
    X(ReleaseContext)          \
    X(CreateCommandQueue)      \
    X(ReleaseCommandQueue)     \
    X(CreateBuffer)            \
    X(ReleaseMemObject)        \
    X(EnqueueWriteBuffer)      \
    X(EnqueueReadBuffer)       \
    X(CreateProgramWithSource) \
    X(CreateProgramWithBinary) \
    X(BuildProgram)            \
    X(GetProgramBuildInfo)     \
    X(GetProgramInfo)          \
    X(ReleaseProgram)          \
    X(CreateKernel)            \
    X(SetKernelArg)            \
    X(ReleaseKernel)           \
    X(EnqueueNDRangeKernel)    \
    X(Flush)                   \
    X(Finish)                  \
    X(GetEventProfilingInfo)   \
    X(ReleaseEvent)

typedef struct krsi_cl {
#define KRSI_CL_MEMBER(name) __typeof__(cl##name) *name;
    KRSI_CL_LIST(KRSI_CL_MEMBER)
#undef KRSI_CL_MEMBER
} krsi_cl;

/* icd.c -- DEVICE if there is no loader, or one that lacks a function. It is
 * never unloaded: drivers have threads of their own. */
krs_status krsi_cl_open(krsi_cl *out, krs_error *err);
/* "CL_OUT_OF_RESOURCES (-5)" */
#define KRSI_CL_CODE_TEXT 64
const char *krsi_cl_code(cl_int code, char text[KRSI_CL_CODE_TEXT]);
/* MEMORY for codes that say that memory is out, else DEVICE; the sentence is
 * "opencl: WHAT: CODE" */
krs_status krsi_cl_fail(krs_error *err, cl_int code, const char *format, ...)
    KRS_PRINTF(3, 4);

#endif
