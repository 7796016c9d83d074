/** Models for onnxruntime and other programs that read ONNX. */
export { type ExportOnnxOptions, exportOnnx, type OnnxModule } from './exportOnnx.ts'
