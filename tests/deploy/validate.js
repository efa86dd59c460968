// Reads manifests of monitoring.coreos.com/v1 as a JSON list from standard input, and writes what is wrong with each, as
// a JSON list of texts: "" for what the definitions of the Prometheus operator accept.
import { readFileSync } from "node:fs";

const problems = [];
for (const manifest of JSON.parse(readFileSync(0, "utf8"))) {
  const place = `@kubernetes-models/prometheus-operator/${manifest.apiVersion}/${manifest.kind}`;
  const { [manifest.kind]: Model } = await import(place);
  try {
    new Model(manifest).validate();
    problems.push("");
  } catch (problem) {
    problems.push(problem.message);
  }
}
process.stdout.write(JSON.stringify(problems));
