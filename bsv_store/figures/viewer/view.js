"use strict";
// A viewer for meshes and points in one page: no library, no network. Coordinates are AP, DV, ML in mm; on the screen,
// seen from behind, right is right, dorsal is up, and posterior points to the viewer.
(() => {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const canvas = document.querySelector("canvas");
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: false, preserveDrawingBuffer: true });
  document.querySelector("h1").textContent = scene.title;
  document.querySelector("header").hidden = !scene.title;
  const footer = document.querySelector("footer");
  footer.textContent = footer.title = scene.footer;
  footer.hidden = !scene.footer;
  if (!gl) {
    const failure = document.createElement("div");
    failure.id = "failure";
    failure.className = "panel";
    failure.textContent = "This view needs WebGL 2, which the browser does not offer.";
    document.body.append(failure);
    document.body.dataset.state = "failed";
    return;
  }

  // -- shaders -------------------------------------------------------------------------------------------------------
  const shared = `#version 300 es
    precision highp float;
    uniform mat4 view, projection;
    uniform vec3 extent;
    vec3 placed(vec3 p) {
      vec3 mm = p * extent - 0.5 * extent;
      return vec3(mm.z, -mm.y, mm.x);
    }`;
  const surface = program(
    `${shared}
    in vec3 position, normal;
    out vec3 n, eye;
    void main() {
      vec4 at = view * vec4(placed(position), 1.0);
      n = mat3(view) * vec3(normal.z, -normal.y, normal.x);
      eye = at.xyz;
      gl_Position = projection * at;
    }`,
    `#version 300 es
    precision highp float;
    uniform vec3 color;
    uniform float opacity, rim;
    in vec3 n, eye;
    out vec4 pixel;
    void main() {
      vec3 m = normalize(n), v = normalize(-eye);
      float facing = abs(dot(m, v));
      float light = 0.42 + 0.5 * abs(dot(m, normalize(vec3(0.35, 0.6, 0.75)))) + 0.12 * pow(facing, 12.0);
      float alpha = opacity + rim * pow(1.0 - facing, 2.5);
      pixel = vec4(color * mix(light, 1.0, rim > 0.0 ? 0.6 : 0.0), clamp(alpha, 0.0, 1.0));
    }`
  );
  const dots = program(
    `${shared}
    uniform float size;
    in vec3 position;
    in float strength;
    out float s;
    void main() {
      vec4 at = view * vec4(placed(position), 1.0);
      s = strength;
      gl_Position = projection * at;
      gl_PointSize = max(1.5, size * (0.45 + 0.9 * strength) / gl_Position.w);
    }`,
    `#version 300 es
    precision highp float;
    uniform vec3 color;
    in float s;
    out vec4 pixel;
    void main() {
      vec2 d = 2.0 * gl_PointCoord - 1.0;
      float r = dot(d, d);
      if (r > 1.0) discard;
      pixel = vec4(color * (0.55 + 0.45 * sqrt(1.0 - r)), 1.0);
    }`
  );

  function program(vertex, fragment) {
    const result = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(result, shader);
    }
    gl.linkProgram(result);
    if (!gl.getProgramParameter(result, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(result));
    return result;
  }

  // -- data ----------------------------------------------------------------------------------------------------------
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);

  function attribute(chosen, name, data, size, type, stride) {
    const place = gl.getAttribLocation(chosen, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, type, true, stride, 0);
  }

  const items = scene.items.map((item) => {
    const drawn = { ...item, visible: true, rgb: rgb(item.color), array: gl.createVertexArray() };
    const chosen = item.kind === "mesh" ? surface : dots;
    gl.bindVertexArray(drawn.array);
    attribute(chosen, "position", bytes(item.positions), 3, gl.UNSIGNED_SHORT, 6);
    if (item.kind === "mesh") {
      attribute(chosen, "normal", bytes(item.normals), 3, gl.BYTE, 3);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, bytes(item.indices), gl.STATIC_DRAW);
      drawn.type = item.wide ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    } else {
      attribute(chosen, "strength", bytes(item.strengths), 1, gl.UNSIGNED_BYTE, 1);
    }
    drawn.positions = drawn.normals = drawn.indices = drawn.strengths = null;
    return drawn;
  });
  gl.bindVertexArray(null);

  // -- camera --------------------------------------------------------------------------------------------------------
  const START = { yaw: 0.4, pitch: 0.75, distance: 27, x: 0, y: 0 };
  // Yaw 0 looks from behind; the names are the side from which one looks.
  const VIEWS = {
    Above: { yaw: 0, pitch: Math.PI / 2 }, Front: { yaw: Math.PI, pitch: 0 }, Back: { yaw: 0, pitch: 0 },
    Left: { yaw: -Math.PI / 2, pitch: 0 }, Right: { yaw: Math.PI / 2, pitch: 0 }, Reset: START,
  };
  const camera = { ...START };

  function matrices(width, height) {
    const [cy, sy, cp, sp] = [Math.cos(camera.yaw), Math.sin(camera.yaw), Math.cos(camera.pitch), Math.sin(camera.pitch)];
    const f = 1 / Math.tan(0.28), near = 0.5, far = 200, aspect = width / height;
    // A narrow window shows the whole width.
    const zoom = Math.min(1, aspect / 1.05);
    const distance = camera.distance / zoom;
    // There, the legend is below.
    const lift = aspect < 0.8 ? 3 : 0;
    return {
      // Rows: what points right, up and to the camera; stored by column.
      view: new Float32Array([cy, -sp * sy, cp * sy, 0, 0, cp, sp, 0, -sy, -sp * cy, cp * cy, 0, camera.x, camera.y + lift, -distance, 1]),
      projection: new Float32Array([f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, (2 * far * near) / (near - far), 0]),
    };
  }

  const aspectOf = (width, height) => width / height;

  function project(m, p) {
    const e = [0, 1, 2].map((r) => m.view[r] * p[0] + m.view[4 + r] * p[1] + m.view[8 + r] * p[2] + m.view[12 + r]);
    return [m.projection[0] * e[0] / -e[2], m.projection[5] * e[1] / -e[2]];
  }

  // -- drawing -------------------------------------------------------------------------------------------------------
  const [ap, dv, ml] = scene.extent;
  const ENDS = [["A", [0, 0, -ap / 2 - 0.6]], ["P", [0, 0, ap / 2 + 0.6]], [scene.sides[0], [-ml / 2 - 0.6, 0, 0]], [scene.sides[1], [ml / 2 + 0.6, 0, 0]],
    ["D", [0, dv / 2 + 0.6, 0]], ["V", [0, -dv / 2 - 0.6, 0]]].map(([letter, at]) => {
    const element = document.createElement("div");
    element.className = "end";
    element.textContent = letter;
    document.body.append(element);
    return { element, at };
  });
  let asked = false;
  const redraw = () => { if (!asked) { asked = true; requestAnimationFrame(draw); } };

  function uniforms(chosen, m) {
    gl.useProgram(chosen);
    gl.uniformMatrix4fv(gl.getUniformLocation(chosen, "view"), false, m.view);
    gl.uniformMatrix4fv(gl.getUniformLocation(chosen, "projection"), false, m.projection);
    gl.uniform3fv(gl.getUniformLocation(chosen, "extent"), scene.extent);
  }

  function mesh(item) {
    gl.uniform3fv(gl.getUniformLocation(surface, "color"), item.rgb);
    gl.uniform1f(gl.getUniformLocation(surface, "opacity"), item.opacity);
    gl.uniform1f(gl.getUniformLocation(surface, "rim"), item.rim);
    gl.bindVertexArray(item.array);
    gl.drawElements(gl.TRIANGLES, item.count, item.type, 0);
  }

  function draw() {
    asked = false;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [Math.max(1, canvas.clientWidth), Math.max(1, canvas.clientHeight)];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const m = matrices(width, height);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(...rgb(scene.background), 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    gl.disable(gl.CULL_FACE);
    gl.depthMask(true);
    const shown = items.filter((item) => item.visible);
    uniforms(dots, m);
    gl.uniform1f(gl.getUniformLocation(dots, "size"), 0.16 * canvas.height);
    for (const item of shown.filter((each) => each.kind === "points")) {
      gl.uniform3fv(gl.getUniformLocation(dots, "color"), item.rgb);
      gl.bindVertexArray(item.array);
      gl.drawArrays(gl.POINTS, 0, item.count);
    }
    uniforms(surface, m);
    const meshes = shown.filter((item) => item.kind === "mesh");
    meshes.filter((item) => item.opacity >= 0.99).forEach(mesh);
    // Translucent ones do not hide each other: the inner ones first, and of each the far side first.
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.depthMask(false);
    gl.enable(gl.CULL_FACE);
    for (const item of meshes.filter((each) => each.opacity < 0.99)) {
      for (const side of [gl.FRONT, gl.BACK]) { gl.cullFace(side); mesh(item); }
    }
    gl.depthMask(true);
    gl.bindVertexArray(null);
    for (const { element, at } of ENDS) {
      const [x, y] = project(m, at), [u, v] = project(m, at.map((each) => -each));
      // Along the line of sight both ends are at the same place.
      element.hidden = Math.hypot((x - u) * aspectOf(width, height), y - v) < 0.12;
      element.style.left = `${(x + 1) / 2 * width}px`;
      element.style.top = `${(1 - y) / 2 * height}px`;
    }
    document.body.dataset.state = "drawn";
  }

  // -- controls ------------------------------------------------------------------------------------------------------
  const pointers = new Map();
  const middle = () => [...pointers.values()].reduce((sum, p) => [sum[0] + p[0] / pointers.size, sum[1] + p[1] / pointers.size], [0, 0]);
  const spread = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  const turn = (dx, dy) => {
    camera.yaw -= dx;
    camera.pitch = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, camera.pitch + dy));
  };
  const zoom = (factor) => { camera.distance = Math.max(5, Math.min(80, camera.distance * factor)); };
  const pan = (dx, dy) => { const scale = camera.distance * 0.575 / canvas.clientHeight; camera.x += dx * scale; camera.y -= dy * scale; };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const [before, size] = [middle(), pointers.size === 2 ? spread() : 0];
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    const after = middle();
    const [dx, dy] = [after[0] - before[0], after[1] - before[1]];
    if (pointers.size === 2) { zoom(size / Math.max(spread(), 1)); pan(dx, dy); }
    else if (event.shiftKey || event.buttons === 2) pan(dx, dy);
    else turn(dx * 0.008, dy * 0.008);
    redraw();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(event.deltaY * 0.001)); redraw(); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    if (steps[event.key]) turn(...steps[event.key]);
    else if (event.key === "+") zoom(0.9);
    else if (event.key === "-") zoom(1.1);
    else return;
    event.preventDefault();
    redraw();
  });
  const views = document.getElementById("views");
  for (const [name, place] of Object.entries(VIEWS)) {
    const button = document.createElement("button");
    button.textContent = name;
    button.addEventListener("click", () => { Object.assign(camera, { ...START, ...place }); redraw(); });
    views.append(button);
  }
  const legend = document.getElementById("legend");
  for (const name of new Set(scene.items.map((item) => item.name))) {
    const own = items.filter((item) => item.name === name);
    const [label, box, swatch] = ["label", "input", "i"].map((tag) => document.createElement(tag));
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => { own.forEach((item) => { item.visible = box.checked; }); redraw(); });
    swatch.style.background = own[0].color;
    label.append(box, swatch, document.createTextNode(name));
    legend.append(label);
  }
  new ResizeObserver(redraw).observe(canvas);
  canvas.addEventListener("webglcontextrestored", () => location.reload());
  redraw();
})();
