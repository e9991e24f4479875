"""CUDA kernels compiled for the host."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import llvmlite.binding as llvm
import nvidia.cuda_nvcc
from numba.cuda.cudadrv import nvvm

from support.stub_gpu.counting import COUNTED, with_counters

LIBDEVICE = Path(next(iter(nvidia.cuda_nvcc.__path__))) / "nvvm" / "libdevice" / "libdevice.10.bc"
_AXES = ("x", "y", "z")
_REGISTERS = {"tid": 0, "ctaid": 3, "ntid": 6, "nctaid": 9}
_ENTRY = re.compile(r'^define void (@"?[^"(]+"?)\((.*)\)', re.MULTILINE)
# What of NVIDIA's instructions kernels and libdevice use, as what the host has: each rounds alike.
_INSTRUCTIONS = {
    "float @llvm.nvvm.sqrt.rn.f(float %a)": "%r = call float @llvm.sqrt.f32(float %a)",
    "float @llvm.nvvm.sqrt.f(float %a)": "%r = call float @llvm.sqrt.f32(float %a)",
    "float @llvm.nvvm.fmin.f(float %a, float %b)": "%r = call float @llvm.minnum.f32(float %a, float %b)",
    "float @llvm.nvvm.fmax.f(float %a, float %b)": "%r = call float @llvm.maxnum.f32(float %a, float %b)",
    "float @llvm.nvvm.fabs.f32(float %a)": "%r = call float @llvm.fabs.f32(float %a)",
    "double @llvm.nvvm.fabs.f64(double %a)": "%r = call double @llvm.fabs.f64(double %a)",
    "double @llvm.nvvm.floor.d(double %a)": "%r = call double @llvm.floor.f64(double %a)",
    "double @llvm.nvvm.ceil.d(double %a)": "%r = call double @llvm.ceil.f64(double %a)",
    "float @llvm.nvvm.floor.f(float %a)": "%r = call float @llvm.floor.f32(float %a)",
    "float @llvm.nvvm.ceil.f(float %a)": "%r = call float @llvm.ceil.f32(float %a)",
}


def compile_too(driver: ctypes.CDLL, counting: bool = False) -> dict[str, ctypes.Array]:
    """Compile for the host, and tell the driver of, each kernel that numba-cuda compiles for a GPU from now on.

    Args:
        driver: The driver.
        counting: Whether kernels count what they do.

    Returns:
        By the name of a kernel, which comes in when it is compiled, what all of its threads did so far: see
        :mod:`support.stub_gpu.counting`. Empty without counting.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    driver.stub_register.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    compiler = _Compiler(counting)
    for_gpu = nvvm.compile_ir

    def for_both(modules, **options):
        name, run, count = compiler.compile(modules if isinstance(modules, list) else [modules])
        driver.stub_count(name, count)
        driver.stub_register(name, run)
        return for_gpu(modules, **options)

    nvvm.compile_ir = for_both
    return compiler.counts


class _Compiler:
    def __init__(self, counting: bool) -> None:
        self._counting = counting
        self.counts: dict[str, ctypes.Array] = {}
        self._machine = self._new_machine()
        self._layout, self._triple = str(self._machine.target_data), llvm.get_process_triple()
        self._head = f'target datalayout = "{self._layout}"\ntarget triple = "{self._triple}"\n'
        self._engines = []  # keep the code
        self._libdevice = self._translated(str(llvm.parse_bitcode(LIBDEVICE.read_bytes())))

    def compile(self, modules: list[str]) -> tuple[bytes, int, int]:
        """Name of a kernel, address of what runs all of its threads, number of its parameters."""
        kernel = next(text for text in modules if '"kernel", i32 1' in text or '!"kernel"' in text)
        name, types = _kernel_of(kernel)
        whole = llvm.parse_assembly(self._translated(kernel))
        whole.link_in(llvm.parse_assembly(self._head + _runner(name, types)))
        for text in modules:
            if text is not kernel:
                whole.link_in(llvm.parse_assembly(self._translated(text)))
        whole.link_in(llvm.parse_assembly(self._libdevice))
        for function in whole.functions:
            if not function.is_declaration and function.name != "run":
                function.linkage = "internal"
        whole.verify()
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        if self._counting:  # instructions of one thread, as a GPU has them
            tuning.loop_vectorization = tuning.slp_vectorization = False
        builder = llvm.create_pass_builder(self._machine, tuning)
        builder.getModulePassManager().run(whole, builder)
        left = [f.name for f in whole.functions if f.is_declaration and ("nvvm" in f.name or "__nv" in f.name)]
        left += re.findall(r' asm .*?"([^"]*)"', str(whole))
        assert not left, f"the host does not know {left}"
        if self._counting:
            whole = llvm.parse_assembly(with_counters(str(whole)))
        engine = llvm.create_mcjit_compiler(whole, self._new_machine())
        engine.finalize_object()
        self._engines.append(engine)
        name = name.strip('@"')
        if self._counting:
            counts = (ctypes.c_int64 * len(COUNTED)).from_address(engine.get_global_value_address("counts"))
            self.counts[re.search(r"\d+([a-z_]+_kernel)B", name)[1]] = counts
        return name.encode(), engine.get_function_address("run"), len(types)

    def _new_machine(self) -> llvm.TargetMachine:
        features = llvm.get_host_cpu_features().flatten()
        return llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=3, reloc="pic", codemodel="jitdefault"
        )

    def _translated(self, text: str) -> str:
        """A module for the host's processor, its special instructions defined."""
        text = re.sub(r'@"((?:llvm\.|__nv)[\w.]+)"', r"@\1", text)
        text = re.sub(r'target datalayout = ".*"', f'target datalayout = "{self._layout}"', text)
        text = re.sub(r'target triple = ".*"', f'target triple = "{self._triple}"', text)
        text = re.sub(r'"target-cpu"="[^"]*"|"target-features"="[^"]*"', "", text)
        text = re.sub(r"^@llvm.used = .*$|^!nvvm.* = .*$", "", text, flags=re.MULTILINE)
        text = re.sub(r"^declare i32 @llvm\.nvvm\.read\.ptx\.sreg\..*$", "", text, flags=re.MULTILINE)
        uses = set(re.findall(r"@llvm\.nvvm\.read\.ptx\.sreg\.(\w+)\.(\w)", text))
        text = text.replace("@llvm.nvvm.read.ptx.sreg.", "@sreg.")
        for register, axis in sorted(uses):
            text += _special_register(register, axis)
        needs_registers = bool(uses)
        # How the compiler is told to compute: exact roots, and denormal numbers as they are.
        exact = re.findall(r'^(@[\w.]+) = .*c"__CUDA_PREC_SQRT\\00"', text, re.MULTILINE)
        for argument in set(re.findall(r"call i32 @__nvvm_reflect\(ptr (?:\w+ )*(@[\w.]+)\)", text)):
            call = rf"call i32 @__nvvm_reflect\(ptr (?:\w+ )*{re.escape(argument)}\)(?: #\d+)?"
            text = re.sub(call, f"add i32 0, {int(argument in exact)}", text)
        for declared, body in _INSTRUCTIONS.items():
            name = re.search(r"@([\w.]+)", declared)[1]
            if re.search(rf"@{re.escape(name)}\b", text):
                plain = name.replace("llvm.nvvm.", "host.")
                text = re.sub(rf"^declare .*@{re.escape(name)}\(.*$", "", text, flags=re.MULTILINE)
                text = re.sub(rf"@{re.escape(name)}\b", f"@{plain}", text)
                kind, head = declared.split()[0], declared.replace(name, plain)
                text += f"\ndefine internal {head} alwaysinline {{\n  {body}\n  ret {kind} %r\n}}\n"
        if needs_registers:
            text += "\n@registers = external global [12 x i32]\n"
        return text


def _kernel_of(text: str) -> tuple[str, list[str]]:
    """Name and parameter types of the kernel of a module."""
    name = re.search(r'ptr (@"?[^",\s]+"?), !"kernel"', text)[1]
    signature = re.search(rf"^define void {re.escape(name)}\((.*)\)", text, re.MULTILINE)[1]
    return name, [part.split()[0] for part in re.split(r",\s*", signature)]


def _special_register(register: str, axis: str) -> str:
    index = _REGISTERS[register] + _AXES.index(axis)
    return f"""
define internal i32 @sreg.{register}.{axis}() alwaysinline {{
  %p = getelementptr [12 x i32], ptr @registers, i32 0, i32 {index}
  %r = load i32, ptr %p
  ret i32 %r
}}
"""


def _runner(name: str, types: list[str]) -> str:
    """A function that calls a kernel for every thread of a grid, with the parameters that addresses point to."""
    loads, arguments = [], []
    for i, kind in enumerate(types):
        loads.append(f"  %a{i} = getelementptr ptr, ptr %parameters, i32 {i}\n  %p{i} = load ptr, ptr %a{i}")
        loads.append(f"  %v{i} = load {kind}, ptr %p{i}")
        arguments.append(f"{kind} %v{i}")
    before, after, label = [], [], "entry"
    # Six nested loops: blocks, then threads; x is innermost, as on a GPU.
    for depth, (limits, first, axis) in enumerate(
        (limits, first, axis) for limits, first in (("grid", 3), ("block", 0)) for axis in (2, 1, 0)
    ):
        size = 6 if limits == "block" else 9
        before.append(
            f"  %l{depth} = getelementptr i32, ptr %{limits}, i32 {axis}\n  %n{depth} = load i32, ptr %l{depth}\n"
            f"  %s{depth} = getelementptr [12 x i32], ptr @registers, i32 0, i32 {size + axis}\n"
            f"  store i32 %n{depth}, ptr %s{depth}\n"
            f"  %r{depth} = getelementptr [12 x i32], ptr @registers, i32 0, i32 {first + axis}\n"
            f"  br label %loop{depth}\nloop{depth}:\n"
            f"  %i{depth} = phi i32 [ 0, %{label} ], [ %j{depth}, %next{depth} ]\n"
            f"  store i32 %i{depth}, ptr %r{depth}"
        )
        after.insert(
            0,
            f"  br label %next{depth}\nnext{depth}:\n  %j{depth} = add i32 %i{depth}, 1\n"
            f"  %c{depth} = icmp ult i32 %j{depth}, %n{depth}\n"
            f"  br i1 %c{depth}, label %loop{depth}, label %done{depth}\ndone{depth}:",
        )
        label = f"loop{depth}"
    return "\n".join(
        ["@registers = global [12 x i32] zeroinitializer", f"declare void {name}({', '.join(types)})",
         "define void @run(ptr %parameters, ptr %grid, ptr %block) {", "entry:", *loads, *before,
         f"  call void {name}({', '.join(arguments)})", *after, "  ret void", "}"]
    )  # fmt: skip
